// COLMAP's database: keypoints and verified matches, from which its mapper reconstructs.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "data/geometry/homography.h"
#include "data/sqlite.h"

namespace cairn::colmap {

/// Writes a database as COLMAP 3.8 does; later versions take it too. All in one transaction: either
/// commit() makes everything visible, or the file stays as it was. Keypoints are given with (0, 0)
/// at the centre of the top-left pixel and stored half a pixel further, as COLMAP counts.
class DatabaseWriter {
 public:
  /// A file that is there must be one that this class has written, whose contents are replaced.
  /// Throws ErrorId::io when it is another's, locked, or cannot be written.
  explicit DatabaseWriter(const std::string& path);

  /// SIMPLE_RADIAL with focal length `focal`, px; `known`: it is no guess.
  int64_t add_camera(int64_t width, int64_t height, double focal, bool known);
  int64_t add_image(const std::string& name, int64_t camera, const std::vector<Point>& keypoints);
  /// How the second of a pair stands to the first, as COLMAP names it.
  enum class Config { undefined = 0, degenerate = 1, calibrated = 2, uncalibrated = 3, planar = 4 };
  struct Pair {
    int64_t image0, image1;
    std::vector<std::array<int32_t, 2>> matches;  ///< keypoint numbers
    std::vector<std::array<int32_t, 2>> inliers;
    Config config = Config::undefined;
    std::array<double, 9> f{}, e{}, h{};  ///< row-major; px as given here; zero: not known
  };
  void add_pair(const Pair& pair);
  void commit() { transaction_.commit(); }

 private:
  Database database_;
  Transaction transaction_;
};

}  // namespace cairn::colmap

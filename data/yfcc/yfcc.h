// YFCC100M with reconstructions, in the layout of OANet (Zhang et al., ICCV 2019):
//   <root>/<scene>/<train|val|test>/images.txt, calibration.txt, visibility.txt
// list one file per line, relative to that folder: photos, HDF5 files with K, R, T and imsize, and
// text files with the number of points that each other photo shares.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "data/npz.h"

namespace cairn {

/// The scenes of "train", "val" or "test" (ErrorId::argument for another phase), to see what is
/// missing: what lies in a folder is used, listed or not.
const std::vector<std::string>& yfcc_scenes(const std::string& phase);

/// A camera: x_camera = R x_world + T.
struct YfccCalibration {
  std::array<double, 9> k{};  ///< row-major; the principal point relative to the image's centre
  std::array<double, 9> r{};
  std::array<double, 3> t{};
  std::array<double, 2> size{};       ///< width, height
  std::array<double, 9> k_inverse{};  ///< row-major

  /// All of it in that order: 32 numbers, as the pair files have it.
  Tensor to_tensor() const;
  /// Throws ErrorId::format, naming `origin`, for what is no calibration: NaN, a singular K.
  static YfccCalibration from_tensor(const Tensor& all, const std::string& origin);
};
/// Reads one of the HDF5 files.
YfccCalibration read_yfcc_calibration(const std::string& path);

/// The matrix with x0' E x1 = 0 for what both cameras see at x0, x1 (on the plane at depth 1):
/// E = dR' [dt]x, dR = R1 R0', dt = T1 - dR T0. Row-major.
std::array<double, 9> essential_matrix(const YfccCalibration& c0, const YfccCalibration& c1);
/// |x0' E x1| (1 / |first two of E x1| + 1 / |first two of E' x0|): the sum of the distances from
/// either epipolar line, on the plane at depth 1; 1e-7 is added to the squared lengths. positions:
/// K x 2 f64, pixels as OpenCV counts them (the half pixel between that and half of the size is
/// left out, as in the reference). Result K f64.
Tensor epipolar_residuals(const YfccCalibration& c0, const YfccCalibration& c1,
                          const Tensor& positions0, const Tensor& positions1);
/// Degrees between the lines of sight of each such match: K f64.
Tensor sight_angles(const YfccCalibration& c0, const YfccCalibration& c1, const Tensor& positions0,
                    const Tensor& positions1);

struct YfccPrepareOptions {
  int64_t min_visibility = 100;  ///< photos sharing more points are a pair
  int64_t pairs = 10000;         ///< at most, of each scene and phase; the rest is drawn
};
/// One folder of the layout that was gone through.
struct YfccPart {
  std::string scene, phase;
  int64_t pairs = 0;                  ///< that have a file now
  std::vector<std::string> problems;  ///< one line each: files that are missing or damaged
};
/// Writes <out>/<scene>/<phase>_<i>_<j>.npz (img_path0, img_path1, calib0, calib1) for all ordered
/// pairs of the photos of each part that is there; those that are written already are left as they
/// are. `done` is told after each file: the part, and how many of how many pairs are through.
/// Throws ErrorId::io when `raw` holds no such layout at all.
std::vector<YfccPart> prepare_yfcc(
    const std::string& raw, const std::string& out, const YfccPrepareOptions& options,
    const std::function<void(const YfccPart&, int64_t, int64_t)>& done = {});

}  // namespace cairn

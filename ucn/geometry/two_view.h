// Two-view geometry: the plane map or epipolar geometry that most matches obey, by LO-RANSAC.
//
// M. Fischler and R. Bolles, "Random sample consensus", CACM 1981; MSAC scores: P. Torr and
// A. Zisserman, "MLESAC", CVIU 2000; local optimisation: O. Chum, J. Matas and J. Kittler, "Locally
// optimized RANSAC", DAGM 2003.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/geometry/homography.h"

namespace cairn::ucn {

enum class Geometry {
  none,
  homography,   ///< x1 ~ H x0: planes, and cameras that only turn
  fundamental,  ///< x1' F x0 = 0: any scene, cameras unknown
  essential,    ///< the same between calibrated cameras
};
/// "none", "homography", "fundamental", "essential"; throws ErrorId::argument for another name.
Geometry geometry(const std::string& name);
const char* name_of(Geometry kind);

/// One match in px, in the two photos.
struct PointPair {
  double x0, y0, x1, y1;
};

/// Pinhole cameras: u = fx X / Z + cx, in px; (0, 0) is the centre of the top-left pixel.
struct Intrinsics {
  double fx, fy, cx, cy;
};

struct RansacOptions {
  double threshold = 3;        ///< px: the largest Sampson distance of an inlier
  double confidence = 0.9999;  ///< that a sample without outliers was drawn
  int64_t max_iterations = 0;  ///< 0: 10000, 4000 or 2000 samples of 4, 7 or 5 matches
  /// Where one plane holds most matches, a sample without outliers may give another matrix that
  /// explains nearly all of them, so the first good one does not end the search. -1: 0, 200 or
  /// 1000; never more than max_iterations.
  int64_t min_iterations = -1;
  uint64_t seed = 0;
  /// The matches come best first: samples are drawn from the first few, then from more and more
  /// (PROSAC, O. Chum and J. Matas, CVPR 2005).
  bool best_first = false;
  /// Refine each best model by Levenberg-Marquardt. Without it, this is plain RANSAC: the best
  /// sample's model, H and F fitted once to all its inliers.
  bool local_optimization = true;
};

struct TwoView {
  Geometry kind = Geometry::none;
  /// Row-major, of unit norm: H or F in px, E in the cameras' units.
  std::array<double, 9> matrix{};
  std::vector<uint8_t> inlier;  ///< one per match
  int64_t inliers = 0;          ///< 0: no model was found
  int64_t iterations = 0;       ///< samples drawn
};

/// The model of most matches. Distances are Sampson's, the first-order distance to the nearest
/// exact match (R. Hartley and A. Zisserman, Multiple View Geometry, 4.2.6 and 11.4.3), in px for
/// every kind. `cameras`: of both photos, for essential alone. Deterministic for a seed. No more
/// matches than a sample has (4, 7, 5), or none that agree, give no model. Throws
/// ErrorId::argument for options out of range.
TwoView estimate_geometry(Geometry kind, std::span<const PointPair> matches,
                          const RansacOptions& options,
                          const std::array<Intrinsics, 2>& cameras = {});

/// The Sampson distance of a match from the model, px (essential: times the mean focal length).
double sampson_distance(const TwoView& model, const PointPair& match,
                        const std::array<Intrinsics, 2>& cameras = {});

/// How the second camera stands to the first: X1 = R X0 + t.
struct RelativePose {
  std::array<double, 9> rotation{1, 0, 0, 0, 1, 0, 0, 0, 1};  ///< row-major
  std::array<double, 3> translation{};                        ///< of unit length
  int64_t in_front = 0;  ///< inliers whose point lies before both cameras
};
/// Of an essential matrix's four poses the one with most inliers before both cameras.
RelativePose relative_pose(const TwoView& essential, std::span<const PointPair> matches,
                           const std::array<Intrinsics, 2>& cameras);

}  // namespace cairn::ucn

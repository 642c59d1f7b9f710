// Where to look for matches: SIFT's keypoints, corners, a grid, or where features can be trusted.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cairn::ucn {

enum class KeypointKind { sift, corners, grid, score };
/// "sift", "corners", "grid", "score"; throws ErrorId::argument for another name.
KeypointKind keypoint_kind(const std::string& name);

struct KeypointOptions {
  KeypointKind kind = KeypointKind::sift;
  int64_t max_keypoints = 2000;
  /// Corners and the score's are local maxima over (2 spacing + 1)^2 pixels; grid points are 2
  /// spacing apart.
  int64_t spacing = 2;
  double contrast = 0.01;  ///< SIFT's; OpenCV's 0.04 leaves plain photos nearly empty
};

/// Keypoints of the kind asked for, but the score's, which an image alone does not have. image: H x
/// W x 1|3 u8. Result: K x 2 (x, y) f64.
Tensor detect_keypoints(const Tensor& image, const KeypointOptions& options);

/// The strongest SIFT keypoints (data/sift), one where several orientations or scales share a place
/// to within a pixel. gray: H x W x 1 u8. Result: K x 2 f64, strongest first.
Tensor detect_sift(const Tensor& gray, const KeypointOptions& options);

/// Which points have no earlier one nearer than `radius` px, in their order. points: K x 2 f64.
std::vector<int64_t> apart(const Tensor& points, double radius);
/// Those of pairs of points of which that holds at both ends.
std::vector<int64_t> apart(const Tensor& points0, const Tensor& points1, double radius0,
                           double radius1);

/// Corners by the smaller eigenvalue of the gradients' second moments over a 5 x 5 window (Shi and
/// Tomasi, "Good features to track", CVPR 1994), strongest first, those without any contrast left
/// out. image: H x W x 1 f32. Result: K x 2 i64 (x, y).
Tensor detect_corners(const Tensor& image, const KeypointOptions& options = {});

/// Local maxima of a score head's map (score_map()), highest first. scores: h x w f32. Result:
/// K x 2 f64, in the features' pixels.
Tensor detect_by_score(const Tensor& scores, const KeypointOptions& options = {});

/// A regular grid over height x width, coarsened until it has at most max_keypoints points.
Tensor grid_keypoints(int64_t height, int64_t width, const KeypointOptions& options = {});

}  // namespace cairn::ucn

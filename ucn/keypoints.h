// Where to look for matches: corners, or a grid.
#pragma once

#include "tensor/tensor.h"

namespace cairn::ucn {

struct KeypointOptions {
  int64_t max_keypoints = 2000;
  /// Corners are local maxima over (2 spacing + 1)^2 pixels; grid points are 2 spacing apart.
  int64_t spacing = 2;
};

/// Corners by the smaller eigenvalue of the gradients' second moments over a 5 x 5 window (Shi and
/// Tomasi, "Good features to track", CVPR 1994), strongest first, those without any contrast left
/// out. image: H x W x 1 f32. Result: K x 2 i64 (x, y).
Tensor detect_corners(const Tensor& image, const KeypointOptions& options = {});

/// A regular grid over height x width, coarsened until it has at most max_keypoints points.
Tensor grid_keypoints(int64_t height, int64_t width, const KeypointOptions& options = {});

}  // namespace cairn::ucn

// The scale space of an image, as SIFT sees it.
#pragma once

#include <vector>

#include "data/sift/sift.h"

namespace cairn::detail {

/// Octave k shows the image at 2^(1-k) times its size (the first is doubled). Layer i of
/// octave_layers + 3 is blurred by sigma 2^(i / octave_layers) pixels of the octave.
struct Octave {
  std::vector<Tensor> layers;       ///< H x W f32, in [0, 255]
  std::vector<Tensor> differences;  ///< layer i + 1 less layer i
};
/// The first octave, or the one after `before`.
Octave first_octave(const Tensor& gray, const SiftOptions& options);
Octave next_octave(const Octave& before, const SiftOptions& options);

/// Its keypoints, `index` being its number; positions are those of the doubled image.
std::vector<SiftKeypoint> find_sift_keypoints(const Octave& octave, int index,
                                              const SiftOptions& options);

/// The descriptors of such keypoints.
Tensor describe_sift_keypoints(const std::vector<Octave>& octaves,
                               const std::vector<SiftKeypoint>& keypoints,
                               const SiftOptions& options);

}  // namespace cairn::detail

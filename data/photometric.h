// Changes of a picture's values that leave its geometry alone.
#pragma once

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace cairn {

/// Each change happens with its own probability, at a strength drawn up to its limit. Values are
/// in [0, 255].
struct Photometric {
  double shade = 0.3, shade_limit = 0.6;            ///< log-gain of soft light and shadow
  double gamma = 0.5, gamma_limit = 1.6;            ///< exponent, 1/limit..limit
  double contrast = 0.5, contrast_limit = 1.6;      ///< factor about the mean, 1/limit..limit
  double brightness = 0.5, brightness_limit = 40;   ///< added
  double blur = 0.3, blur_limit = 1.5;              ///< Gaussian, standard deviation in pixels
  double motion_blur = 0.1, motion_blur_limit = 7;  ///< length of the path in pixels
  double noise = 0.4, noise_limit = 10;             ///< Gaussian, standard deviation
  double jpeg = 0.4, jpeg_quality = 30;             ///< compression at this quality..95

  static Photometric none();
  /// All limits `strength` times as strong: 0 changes next to nothing, 1 is the above.
  static Photometric of_strength(double strength);
};

/// Applies the changes, in the order above, to H x W x C f32 in [0, 255]; the result is in [0,
/// 255].
Tensor change_appearance(const Tensor& picture, const Photometric& options, Random& random);

/// Gaussian blur of H x W x C f32; beyond the border is the border.
Tensor gaussian_blur(const Tensor& picture, double sigma);

}  // namespace cairn

// SIFT: keypoints that come back at other scales and rotations, and what they look like.
//
// D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, with the choices
// that OpenCV made, so that the results are those of cv::SIFT but for rounding.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace cairn {

struct SiftOptions {
  int64_t max_keypoints = 0;  ///< the strongest so many, and all as strong as the last; 0: all
  int octave_layers = 3;      ///< scales in which extrema are sought, per octave
  double contrast = 0.04;     ///< least |D| at an extremum, times octave_layers; D in [-1, 1]
  double edge = 10;           ///< largest ratio of the principal curvatures
  double sigma = 1.6;         ///< px, of the first layer
  bool root = false;          ///< RootSIFT (Arandjelovic and Zisserman, CVPR 2012)
  /// Positions are a quarter pixel too far right and down, as OpenCV has them by default: it
  /// forgets that doubling the image moves the centres of pixels.
  bool opencv_positions = false;
};

struct SiftKeypoint {
  float x, y;      ///< px; (0, 0) is the centre of the top-left pixel
  float size;      ///< px: the diameter that it describes, twice its scale
  float angle;     ///< degrees in [0, 360), from x downwards
  float response;  ///< |D| at the extremum, in [0, 1]
  int octave;      ///< -1: of the doubled image
  int layer;       ///< 1..octave_layers
  float offset;    ///< of the extremum from that layer, in (-0.5, 0.5)
};

struct SiftFeatures {
  std::vector<SiftKeypoint> keypoints;  ///< strongest first, of equals by y, x, size, angle
  /// K x 128 f32: 4 x 4 places (rows first) of 8 directions; whole numbers in [0, 255] of length
  /// about 512, or of unit length (root).
  Tensor descriptors;
};

/// gray: H x W x 1 u8. The same at any thread count. Throws ErrorId::shape, ErrorId::argument.
SiftFeatures sift(const Tensor& gray, const SiftOptions& options = {});
/// The keypoints alone.
std::vector<SiftKeypoint> sift_keypoints(const Tensor& gray, const SiftOptions& options = {});

}  // namespace cairn

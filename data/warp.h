// Resampling an image under a homography, without aliasing.
#pragma once

#include <vector>

#include "data/geometry/bend.h"
#include "data/geometry/homography.h"
#include "tensor/tensor.h"

namespace cairn {

/// An image and its halves, quarters, ...: each level averages 2 x 2 pixels of the one before (a
/// last odd row or column is left out). Pixel x of level l lies at (x + 0.5) 2^l - 0.5.
class Pyramid {
 public:
  /// `pixels`: H x W x C u8. The default has no levels.
  Pyramid() = default;
  explicit Pyramid(const Tensor& pixels);

  const std::vector<Tensor>& levels() const { return levels_; }
  int64_t height() const { return levels_[0].dim(0); }
  int64_t width() const { return levels_[0].dim(1); }
  int64_t channels() const { return levels_[0].dim(2); }
  int64_t nbytes() const;

 private:
  std::vector<Tensor> levels_;
};

/// Looks at the image through a window of `height` x `width` pixels: pixel (x, y) of the result
/// shows the place `view_to_image` (x, y), beyond the border the border. height x width x C f32 in
/// [0, 255]. Where the view shrinks the image, it takes the mean of several bilinear samples per
/// pixel from the level that is just finer. A bent view shows at (x, y) `view_to_image` (bend (x,
/// y)).
Tensor warp(const Pyramid& image, const Homography& view_to_image, int64_t height, int64_t width,
            const Bend& bend = {});

}  // namespace cairn

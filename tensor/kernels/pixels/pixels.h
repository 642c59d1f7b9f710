// Arithmetic on pixel numbers: pixel p of an image `width` pixels wide is at (p % width, p /
// width).
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// Which pixels are more than `radius` px away from a place: K, u8. pixels: K, i64, counted from
/// `first`; places: K x 2 (x, y), f64. For the hardest negatives: what is near the true match is
/// none.
Tensor far_pixels(const Tensor& pixels, const Tensor& places, int64_t first, int64_t width,
                  double radius);

/// Each pixel moved by its row of `moves` (K x 2: dx, dy; i64) and kept within height x width.
Tensor moved_pixels(const Tensor& pixels, const Tensor& moves, int64_t height, int64_t width);

namespace cuda {
Tensor far_pixels(const Tensor& pixels, const Tensor& places, int64_t first, int64_t width,
                  double radius);
Tensor moved_pixels(const Tensor& pixels, const Tensor& moves, int64_t height, int64_t width);
}  // namespace cuda

}  // namespace cairn::kernels

#include "tensor/kernels/pixels/pixels.h"
#include "tensor/kernels/pixels/rules.h"

namespace cairn::kernels {
namespace {

void check(const char* op, const Tensor& pixels, const Tensor& rows, DType type) {
  require(pixels.dtype() == DType::i64 && rows.dtype() == type, ErrorId::dtype, op, "i64 and ",
          type, " are expected, not ", pixels.dtype(), " and ", rows.dtype());
  require(rows.shape() == Shape({pixels.numel(), 2}), ErrorId::shape, op, "there are ",
          pixels.numel(), " pixels for rows of ", rows.shape());
  require_same_device(op, pixels, rows);
}

}  // namespace

Tensor far_pixels(const Tensor& pixels, const Tensor& places, int64_t first, int64_t width,
                  double radius) {
  check("far_pixels", pixels, places, DType::f64);
  if (pixels.on_gpu()) return cuda::far_pixels(pixels, places, first, width, radius);
  Tensor far = Tensor::empty({pixels.numel()}, DType::u8);
  for (int64_t k = 0; k < pixels.numel(); ++k)
    far.data<uint8_t>()[k] =
        is_far(pixels.data<int64_t>()[k] - first, places.data<double>() + 2 * k, width, radius);
  return far;
}

Tensor moved_pixels(const Tensor& pixels, const Tensor& moves, int64_t height, int64_t width) {
  check("moved_pixels", pixels, moves, DType::i64);
  if (pixels.on_gpu()) return cuda::moved_pixels(pixels, moves, height, width);
  Tensor y = Tensor::empty({pixels.numel()}, DType::i64);
  for (int64_t k = 0; k < pixels.numel(); ++k)
    y.data<int64_t>()[k] =
        moved(pixels.data<int64_t>()[k], moves.data<int64_t>() + 2 * k, height, width);
  return y;
}

}  // namespace cairn::kernels

#include "tensor/cuda/launch.h"
#include "tensor/kernels/pixels/pixels.h"
#include "tensor/kernels/pixels/rules.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

__global__ void far_pixels_kernel(int64_t n, const int64_t* pixels, const double* places,
                                  int64_t first, int64_t width, double radius, uint8_t* far) {
  for (int64_t k = thread_number(); k < n; k += thread_count())
    far[k] = is_far(pixels[k] - first, places + 2 * k, width, radius);
}

__global__ void moved_pixels_kernel(int64_t n, const int64_t* pixels, const int64_t* moves,
                                    int64_t height, int64_t width, int64_t* y) {
  for (int64_t k = thread_number(); k < n; k += thread_count())
    y[k] = moved(pixels[k], moves + 2 * k, height, width);
}

}  // namespace

Tensor far_pixels(const Tensor& pixels, const Tensor& places, int64_t first, int64_t width,
                  double radius) {
  const int64_t n = pixels.numel();
  Tensor far = Tensor::empty({n}, DType::u8, Device::cuda);
  launch("far_pixels", far_pixels_kernel, blocks_for(n), block_threads, n,
         pixels.device_data<int64_t>(), places.device_data<double>(), first, width, radius,
         far.device_data<uint8_t>());
  return far;
}

Tensor moved_pixels(const Tensor& pixels, const Tensor& moves, int64_t height, int64_t width) {
  const int64_t n = pixels.numel();
  Tensor y = Tensor::empty({n}, DType::i64, Device::cuda);
  launch("moved_pixels", moved_pixels_kernel, blocks_for(n), block_threads, n,
         pixels.device_data<int64_t>(), moves.device_data<int64_t>(), height, width,
         y.device_data<int64_t>());
  return y;
}

}  // namespace cairn::kernels::cuda

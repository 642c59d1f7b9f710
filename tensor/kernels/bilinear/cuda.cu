// Bilinear sampling on the GPU.
#include "tensor/cuda/launch.h"
#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/bilinear/taps.h"
#include "tensor/kernels/rows/scatter.cuh"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

template <class T>
__global__ void bilinear_sample_kernel(int64_t n, int64_t h, int64_t w, int64_t c, const T* x,
                                       const T* positions, T* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    const Taps<T> t = taps(positions + 2 * (i / c), h, w);
    T sum = 0;
    for (int k = 0; k < 4; ++k) sum += t.weight[k] * x[t.pixel[k] * c + i % c];
    y[i] = sum;
  }
}

/// Item 4 k + i is tap i of position k.
template <class T>
struct TapRow {
  const T* positions;
  int64_t h, w;
  __device__ int64_t operator()(int64_t item) const {
    return taps(positions + 2 * (item / 4), h, w).pixel[item % 4];
  }
};
template <class T>
struct TapValue {
  const T *positions, *dy;
  int64_t h, w, c;
  __device__ T operator()(int64_t item, int64_t j) const {
    return taps(positions + 2 * (item / 4), h, w).weight[item % 4] * dy[item / 4 * c + j];
  }
};

}  // namespace

Tensor bilinear_sample(const Tensor& x, const Tensor& positions) {
  Tensor y = Tensor::empty({positions.dim(0), x.dim(2)}, x.dtype(), Device::cuda);
  dispatch_float(x.dtype(), "bilinear_sample", [&]<class T>() {
    launch("bilinear_sample", bilinear_sample_kernel<T>, blocks_for(y.numel()), block_threads,
           y.numel(), x.dim(0), x.dim(1), x.dim(2), x.device_data<T>(), positions.device_data<T>(),
           y.device_data<T>());
  });
  return y;
}

Tensor bilinear_sample_backward(const Tensor& dy, const Tensor& positions, const Shape& x_shape) {
  const int64_t h = x_shape[0], w = x_shape[1], c = x_shape[2];
  return dispatch_float(dy.dtype(), "bilinear_sample_backward", [&]<class T>() {
    const T *p = positions.device_data<T>(), *d = dy.device_data<T>();
    return scatter<T>("bilinear_sample_backward", 4 * positions.dim(0), h * w, c,
                      TapRow<T>{p, h, w}, TapValue<T>{p, d, h, w, c})
        .reshape(x_shape);
  });
}

}  // namespace cairn::kernels::cuda

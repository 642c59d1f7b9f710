// Softmax on the GPU: a warp for each row.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/softmax/softmax.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

constexpr int warp = 32, rows_per_block = block_threads / warp;

template <class T>
__global__ void softmax_kernel(int64_t rows, int64_t c, bool log, const T* x, T* y) {
  const int64_t row = int64_t(blockIdx.x) * rows_per_block + threadIdx.x / warp;
  const int lane = threadIdx.x % warp;
  if (row >= rows) return;  // whole warps
  T largest = x[row * c];
  for (int64_t j = lane; j < c; j += warp) {
    const T v = x[row * c + j];
    largest = v > largest || v != v ? v : largest;
  }
  largest = group_max(largest, warp);
  T sum = 0;
  for (int64_t j = lane; j < c; j += warp) sum += std::exp(x[row * c + j] - largest);
  sum = group_sum(sum, warp);
  const T shift = std::log(sum);
  for (int64_t j = lane; j < c; j += warp) {
    const T off = x[row * c + j] - largest;
    y[row * c + j] = log ? off - shift : std::exp(off) / sum;
  }
}

template <class T>
__global__ void softmax_backward_kernel(int64_t rows, int64_t c, bool log, const T* y, const T* dy,
                                        T* dx) {
  const int64_t row = int64_t(blockIdx.x) * rows_per_block + threadIdx.x / warp;
  const int lane = threadIdx.x % warp;
  if (row >= rows) return;
  T sum = 0;
  for (int64_t j = lane; j < c; j += warp)
    sum += log ? dy[row * c + j] : y[row * c + j] * dy[row * c + j];
  sum = group_sum(sum, warp);
  for (int64_t j = lane; j < c; j += warp) {
    const T v = y[row * c + j], g = dy[row * c + j];
    dx[row * c + j] = log ? g - std::exp(v) * sum : v * (g - sum);
  }
}

Tensor forward(const char* op, const Tensor& x, bool log) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), Device::cuda);
  const int64_t c = x.dim(-1), rows = c ? x.numel() / c : 0;
  dispatch_float(x.dtype(), op, [&]<class T>() {
    launch(op, softmax_kernel<T>, blocks_for(rows, rows_per_block, 1 << 30), block_threads, rows, c,
           log, x.device_data<T>(), y.device_data<T>());
  });
  return y;
}

Tensor backward(const char* op, const Tensor& y, const Tensor& dy, bool log) {
  Tensor dx = Tensor::empty(y.shape(), y.dtype(), Device::cuda);
  const int64_t c = y.dim(-1), rows = c ? y.numel() / c : 0;
  dispatch_float(y.dtype(), op, [&]<class T>() {
    launch(op, softmax_backward_kernel<T>, blocks_for(rows, rows_per_block, 1 << 30), block_threads,
           rows, c, log, y.device_data<T>(), dy.device_data<T>(), dx.device_data<T>());
  });
  return dx;
}

}  // namespace

Tensor softmax(const Tensor& x) { return forward("softmax", x, false); }
Tensor log_softmax(const Tensor& x) { return forward("log_softmax", x, true); }
Tensor softmax_backward(const Tensor& y, const Tensor& dy) {
  return backward("softmax_backward", y, dy, false);
}
Tensor log_softmax_backward(const Tensor& y, const Tensor& dy) {
  return backward("log_softmax_backward", y, dy, true);
}

}  // namespace cairn::kernels::cuda

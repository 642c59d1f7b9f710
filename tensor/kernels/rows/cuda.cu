// Rows on the GPU.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/kernels/rows/scatter.cuh"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

template <class S>
__global__ void gather_rows_kernel(int64_t n, int64_t rows, int64_t c, const S* x,
                                   const int64_t* index, S missing, S* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    const int64_t row = index[i / c];
    y[i] = row >= 0 && row < rows ? x[row * c + i % c] : missing;
  }
}

struct RowOf {
  const int64_t* index;
  __device__ int64_t operator()(int64_t item) const { return index[item]; }
};
template <class S>
struct ValueOf {
  const S* dy;
  int64_t c;
  __device__ compute_t<S> operator()(int64_t item, int64_t j) const {
    return compute_t<S>(dy[item * c + j]);
  }
};

/// A group of `lanes` threads for each row.
template <class T>
__global__ void row_distance2_kernel(int64_t rows, int64_t c, int lanes, const T* a, const T* b,
                                     T* d) {
  const int64_t row = thread_number() / lanes;
  const int lane = threadIdx.x % lanes;
  T sum = 0;
  if (row < rows)
    for (int64_t j = lane; j < c; j += lanes) {
      const T off = a[row * c + j] - b[row * c + j];
      sum = std::fma(off, off, sum);
    }
  sum = group_sum(sum, lanes);
  if (row < rows && lane == 0) d[row] = sum;
}

template <class T>
__global__ void row_distance2_backward_kernel(int64_t n, int64_t c, const T* a, const T* b,
                                              const T* dd, T* da) {
  for (int64_t i = thread_number(); i < n; i += thread_count())
    da[i] = 2 * dd[i / c] * (a[i] - b[i]);
}

}  // namespace

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  Tensor y = Tensor::empty({index.numel(), x.dim(1)}, x.dtype(), Device::cuda);
  dispatch_all(x.dtype(), [&]<class S>() {
    if constexpr (std::is_same_v<S, f16_t>) {
      throw Error(ErrorId::dtype, "gather_rows", "f16 is not read on the GPU");
    } else {
      S missing(0);
      if constexpr (!std::is_integral_v<S>) missing = S(std::numeric_limits<float>::quiet_NaN());
      launch("gather_rows", gather_rows_kernel<S>, blocks_for(y.numel()), block_threads, y.numel(),
             x.dim(0), x.dim(1), x.device_data<S>(), index.device_data<int64_t>(), missing,
             y.device_data<S>());
    }
  });
  return y;
}

Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows) {
  Tensor dx;
  dispatch_device(dy.dtype(), "scatter_add_rows", [&]<class S>() {
    dx =
        scatter<S>("scatter_add_rows", index.numel(), rows, dy.dim(1),
                   RowOf{index.device_data<int64_t>()}, ValueOf<S>{dy.device_data<S>(), dy.dim(1)});
  });
  return dx;
}

Tensor row_distance2(const Tensor& a, const Tensor& b) {
  const int64_t rows = a.dim(0), c = a.dim(1);
  Tensor d = Tensor::empty({rows}, a.dtype(), Device::cuda);
  dispatch_float(a.dtype(), "row_distance2", [&]<class T>() {
    const int lanes = lanes_for(c);
    launch("row_distance2", row_distance2_kernel<T>,
           blocks_for(rows * lanes, block_threads, 1 << 30), block_threads, rows, c, lanes,
           a.device_data<T>(), b.device_data<T>(), d.device_data<T>());
  });
  return d;
}

Tensor row_distance2_backward(const Tensor& a, const Tensor& b, const Tensor& dd) {
  Tensor da = Tensor::empty(a.shape(), a.dtype(), Device::cuda);
  dispatch_float(a.dtype(), "row_distance2_backward", [&]<class T>() {
    launch("row_distance2_backward", row_distance2_backward_kernel<T>, blocks_for(a.numel()),
           block_threads, a.numel(), a.dim(1), a.device_data<T>(), b.device_data<T>(),
           dd.device_data<T>(), da.device_data<T>());
  });
  return da;
}

}  // namespace cairn::kernels::cuda

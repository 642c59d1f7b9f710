// Matrix products on the GPU: cuBLASLt where it is there and takes the type, else the own kernel.
#include "tensor/cuda/cublaslt.h"
#include "tensor/kernels/gemm/check.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/gemm/tile.cuh"

namespace cairn::kernels::cuda {
namespace {

template <class S>
struct Matrix {  // element (row, column) of op(X)
  const S* data;
  int64_t row_step, column_step;
  __device__ cairn::cuda::compute_t<S> operator()(int64_t row, int64_t column) const {
    return cairn::cuda::compute_t<S>(data[row * row_step + column * column_step]);
  }
};

template <class S>
struct Dense {
  S* data;
  int64_t columns;
  template <class C>
  __device__ void operator()(int64_t row, int64_t column, int64_t, C value) const {
    data[row * columns + column] = S(value);
  }
};

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const ProductExtents e = check_matmul(a, b, transpose_a, transpose_b);
  Tensor c = Tensor::empty({e.m, e.n}, a.dtype(), Device::cuda);
  if (c.numel() == 0) return c;
  if (e.k > 0 && cairn::cuda::multiply(
                     {a.dtype(), cairn::cuda::math(), e.m, e.n, e.k, transpose_a, transpose_b},
                     c.device_raw(), a.device_raw(), b.device_raw()))
    return c;
  cairn::cuda::dispatch_device(a.dtype(), "matmul", [&]<class S>() {
    const auto matrix = [&](const Tensor& x, bool transposed) {
      return Matrix<S>{x.device_data<S>(), transposed ? 1 : x.dim(1), transposed ? x.dim(1) : 1};
    };
    tile_product<cairn::cuda::compute_t<S>>("matmul", e.m, e.n, e.k, matrix(a, transpose_a),
                                            matrix(b, transpose_b),
                                            Dense<S>{c.device_data<S>(), e.n});
  });
  return c;
}

}  // namespace cairn::kernels::cuda

#include "tensor/kernels/gemm/gemm.h"

#include <algorithm>

#include "tensor/kernels/gemm/check.h"
#include "tensor/kernels/gemm/implicit.h"
#include "tensor/kernels/gemm/micro_kernel.h"
#include "tensor/kernels/gemm/panels.h"
#include "tensor/parallel.h"

namespace cairn::kernels {

ProductExtents check_matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  require_same_dtype("matmul", a, b);
  require(a.rank() == 2 && b.rank() == 2, ErrorId::shape, "matmul", "two matrices are needed, not ",
          a.shape(), " and ", b.shape());
  const ProductExtents e{a.dim(transpose_a), b.dim(!transpose_b), a.dim(!transpose_a)};
  require(b.dim(transpose_b) == e.k, ErrorId::shape, "matmul", "the left matrix has ", e.k,
          " columns, but the right one has ", b.dim(transpose_b), " rows (", a.shape(),
          transpose_a ? " transposed" : "", " times ", b.shape(), transpose_b ? " transposed" : "",
          ")");
  return e;
}

namespace {

// Beyond this many columns at once, a few rows of A no longer fit the caches.
constexpr int64_t k_block = 1024;

/// A row of A is a pixel of an image one pixel high; B is the weight of a 1x1 convolution. Blocks
/// of k add to what those before them left in C.
template <class T>
void product(const T* a, const T* b, T* c, const ProductExtents& e, bool transpose_b) {
  for (int64_t k = 0; k == 0 || k < e.k; k += k_block) {
    Windows<T> x;
    x.width = x.columns = e.m;
    x.sources = {{a + k, std::min(k_block, e.k - k), e.k, 0, 0}};
    const TapMatrices w{
        {k * (transpose_b ? 1 : e.n)}, transpose_b ? 1 : e.n, transpose_b ? e.k : 1};
    Scratch<T> packed = pack_weights(b, w, x.channels(), {e.n, micro_kernel<T>().lanes});
    correlate(x, packed.data(), e.n,
              {c, e.m * e.n, e.m * e.n, e.n, nullptr, k ? c : nullptr, 0, false});
  }
}

/// A is the transpose of what is stored: that is the weight gradient of a 1x1 convolution.
template <class T>
void product_of_transpose(const T* a, const T* b, T* c, const ProductExtents& e) {
  constexpr int64_t m_block = 512;
  for (int64_t m = 0; m < e.m; m += m_block) {
    Windows<T> x;
    x.width = x.columns = e.k;
    x.sources = {{a + m, std::min(m_block, e.m - m), e.m, 0, 0}};
    correlate_weights(x, b, e.n, c + m * e.n, {{0}, e.n, 1});
  }
}

Tensor transpose(const Tensor& x) {
  Tensor y = Tensor::empty({x.dim(1), x.dim(0)}, x.dtype());
  dispatch_float(x.dtype(), "matmul", [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.data<T>();
    const int64_t rows = x.dim(0), columns = x.dim(1);
    parallel_for(columns, 16, [&](int64_t begin, int64_t end) {
      for (int64_t block = 0; block < rows; block += 16)  // whole cache lines of y
        for (int64_t c = begin; c < end; ++c)
          for (int64_t r = block; r < std::min(block + 16, rows); ++r)
            to[c * rows + r] = from[r * columns + c];
    });
  });
  return y;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const ProductExtents e = check_matmul(a, b, transpose_a, transpose_b);
  if (a.on_gpu()) return cuda::matmul(a, b, transpose_a, transpose_b);
  // Only sums that are long beside the result are worth chunks of their own.
  if (transpose_a && (transpose_b || e.k <= 4 * e.m))
    return matmul(transpose(a), b, false, transpose_b);
  Tensor c = Tensor::empty({e.m, e.n}, a.dtype());
  dispatch_float(a.dtype(), "matmul", [&]<class T>() {
    if (transpose_a)
      product_of_transpose(a.data<T>(), b.data<T>(), c.data<T>(), e);
    else
      product(a.data<T>(), b.data<T>(), c.data<T>(), e, transpose_b);
  });
  return c;
}

}  // namespace cairn::kernels

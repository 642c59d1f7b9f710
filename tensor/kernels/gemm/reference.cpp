#include "tensor/kernels/gemm/check.h"
#include "tensor/kernels/gemm/gemm.h"

namespace cairn::kernels::reference {

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const auto [m, n, k] = check_matmul(a, b, transpose_a, transpose_b);
  Tensor c = Tensor::empty({m, n}, a.dtype());
  dispatch_float(a.dtype(), "matmul", [&, m = m, n = n, k = k]<class T>() {
    const T *av = a.data<T>(), *bv = b.data<T>();
    T* cv = c.data<T>();
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p)
          sum += double(av[transpose_a ? p * m + i : i * k + p]) *
                 double(bv[transpose_b ? j * k + p : p * n + j]);
        cv[i * n + j] = T(sum);
      }
  });
  return c;
}

}  // namespace cairn::kernels::reference

// The plainest loops, in the tensor's own type.
#include <cmath>

#include "tensor/kernels/l2_normalize/l2_normalize.h"

namespace cairn::kernels::reference {

Tensor l2_normalize(const Tensor& x, double eps) {
  const int64_t c = x.dim(-1);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(x.dtype(), "l2_normalize", [&]<class T>() {
    for (int64_t row = 0; row < x.numel(); row += c) {
      const T* v = x.data<T>() + row;
      T squares = 0;
      for (int64_t j = 0; j < c; ++j) squares += v[j] * v[j];
      const T r = std::sqrt(squares);
      for (int64_t j = 0; j < c; ++j) y.data<T>()[row + j] = r == 0 ? T(0) : v[j] / (r + T(eps));
    }
  });
  return y;
}

Tensor l2_normalize_backward(const Tensor& x, const Tensor& dy, double eps) {
  const int64_t c = x.dim(-1);
  Tensor dx = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(x.dtype(), "l2_normalize_backward", [&]<class T>() {
    for (int64_t row = 0; row < x.numel(); row += c) {
      const T *v = x.data<T>() + row, *g = dy.data<T>() + row;
      T squares = 0, dot = 0;
      for (int64_t j = 0; j < c; ++j) squares += v[j] * v[j], dot += v[j] * g[j];
      const T r = std::sqrt(squares), s = r + T(eps);
      for (int64_t j = 0; j < c; ++j)
        dx.data<T>()[row + j] = r == 0 ? g[j] / T(eps) : g[j] / s - v[j] * dot / (r * s * s);
    }
  });
  return dx;
}

}  // namespace cairn::kernels::reference

// Softmax for the CPU: rows in parallel. The exponential dominates, so the loops stay plain.
#include <algorithm>
#include <cmath>

#include "tensor/kernels/softmax/softmax.h"
#include "tensor/parallel.h"

namespace cairn::kernels {
namespace {

void check(const char* op, const Tensor& a, const Tensor& b) {
  require(a.rank() >= 1, ErrorId::shape, op, "the input is a scalar; it needs a row");
  require_same_dtype(op, a, b);
  require_same_shape(op, a, b);
}

/// f(row of a, row of b, row of the result, its length), rows in parallel.
template <class F>
Tensor by_row(const char* op, const Tensor& a, const Tensor& b, F f) {
  Tensor y = Tensor::empty(a.shape(), a.dtype());
  dispatch_float(a.dtype(), op, [&]<class T>() {
    const int64_t c = a.dim(-1);
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.data<T>();
    if (a.numel() == 0) return;
    parallel_for(a.numel() / c, std::max<int64_t>(1, 4096 / c), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) f(pa + row * c, pb + row * c, py + row * c, c);
    });
  });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x) {
  check("softmax", x, x);
  if (x.on_gpu()) return cuda::softmax(x);
  return by_row("softmax", x, x, []<class T>(const T* a, const T*, T* y, int64_t c) {
    const T largest = *std::max_element(a, a + c);
    T sum = 0;
    for (int64_t j = 0; j < c; ++j) sum += y[j] = std::exp(a[j] - largest);
    for (int64_t j = 0; j < c; ++j) y[j] /= sum;
  });
}

Tensor softmax_backward(const Tensor& y, const Tensor& dy) {
  check("softmax_backward", y, dy);
  if (y.on_gpu()) return cuda::softmax_backward(y, dy);
  return by_row("softmax_backward", y, dy, []<class T>(const T* a, const T* g, T* dx, int64_t c) {
    T dot = 0;
    for (int64_t j = 0; j < c; ++j) dot += a[j] * g[j];
    for (int64_t j = 0; j < c; ++j) dx[j] = a[j] * (g[j] - dot);
  });
}

Tensor log_softmax(const Tensor& x) {
  check("log_softmax", x, x);
  if (x.on_gpu()) return cuda::log_softmax(x);
  return by_row("log_softmax", x, x, []<class T>(const T* a, const T*, T* y, int64_t c) {
    const T largest = *std::max_element(a, a + c);
    T sum = 0;
    for (int64_t j = 0; j < c; ++j) sum += std::exp(a[j] - largest);
    const T shift = std::log(sum);  // subtracted apart from the maximum, which may be large
    for (int64_t j = 0; j < c; ++j) y[j] = a[j] - largest - shift;
  });
}

Tensor log_softmax_backward(const Tensor& y, const Tensor& dy) {
  check("log_softmax_backward", y, dy);
  if (y.on_gpu()) return cuda::log_softmax_backward(y, dy);
  return by_row("log_softmax_backward", y, dy,
                []<class T>(const T* a, const T* g, T* dx, int64_t c) {
                  T sum = 0;
                  for (int64_t j = 0; j < c; ++j) sum += g[j];
                  for (int64_t j = 0; j < c; ++j) dx[j] = g[j] - std::exp(a[j]) * sum;
                });
}

}  // namespace cairn::kernels

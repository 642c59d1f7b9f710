// The plainest loops, one row at a time, in double.
#include <cmath>
#include <vector>

#include "tensor/kernels/softmax/softmax.h"

namespace cairn::kernels::reference {
namespace {

/// f(row of a, row of b, row of y) with all rows as doubles.
template <class F>
Tensor by_row(const Tensor& a, const Tensor& b, F f) {
  const int64_t c = a.dim(-1);
  const std::vector<double> va = a.to_vector(), vb = b.to_vector();
  std::vector<double> y(va.size());
  for (size_t row = 0; row < y.size(); row += size_t(c)) f(&va[row], &vb[row], &y[row], c);
  return Tensor::from(a.shape(), y).to(a.dtype());
}

double log_of_sum(const double* x, int64_t c) {
  double largest = x[0], sum = 0;
  for (int64_t j = 0; j < c; ++j) largest = x[j] > largest ? x[j] : largest;
  for (int64_t j = 0; j < c; ++j) sum += std::exp(x[j] - largest);
  return largest + std::log(sum);
}

}  // namespace

Tensor softmax(const Tensor& x) {
  return by_row(x, x, [](const double* a, const double*, double* y, int64_t c) {
    for (int64_t j = 0; j < c; ++j) y[j] = std::exp(a[j] - log_of_sum(a, c));
  });
}

Tensor softmax_backward(const Tensor& y, const Tensor& dy) {
  return by_row(y, dy, [](const double* a, const double* g, double* dx, int64_t c) {
    double dot = 0;
    for (int64_t j = 0; j < c; ++j) dot += a[j] * g[j];
    for (int64_t j = 0; j < c; ++j) dx[j] = a[j] * (g[j] - dot);
  });
}

Tensor log_softmax(const Tensor& x) {
  return by_row(x, x, [](const double* a, const double*, double* y, int64_t c) {
    for (int64_t j = 0; j < c; ++j) y[j] = a[j] - log_of_sum(a, c);
  });
}

Tensor log_softmax_backward(const Tensor& y, const Tensor& dy) {
  return by_row(y, dy, [](const double* a, const double* g, double* dx, int64_t c) {
    double sum = 0;
    for (int64_t j = 0; j < c; ++j) sum += g[j];
    for (int64_t j = 0; j < c; ++j) dx[j] = g[j] - std::exp(a[j]) * sum;
  });
}

}  // namespace cairn::kernels::reference

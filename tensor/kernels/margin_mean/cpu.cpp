// Rows of a are taken in blocks, so that no K x M matrix lives; the backward computes d again.
#include <algorithm>
#include <cmath>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/margin_mean/margin_mean.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn::kernels {
namespace {

constexpr int64_t block = 64;
constexpr double eps = 0x1p-23;  // float32's, as in the reference

Tensor squared_norms(const Tensor& x) { return sum(square(x), {1}); }

/// Calls f(i, j, d) for every pair that counts, in order.
template <class T, class F>
void for_each(const Tensor& a, const Tensor& b, const Margin& p, F&& f) {
  const int64_t c = a.dim(1), m = b.dim(0);
  const Tensor a2 = squared_norms(a), b2 = squared_norms(b);
  const double *pa = p.positions_a.data<double>(), *pb = p.positions_b.data<double>();
  for (int64_t begin = 0; begin < a.dim(0); begin += block) {
    const int64_t end = std::min(begin + block, a.dim(0));
    const Tensor rows = Tensor::from(
        {end - begin, c}, a.span<T>().subspan(size_t(begin * c), size_t((end - begin) * c)));
    const Tensor products = matmul(rows, b, false, true);
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < m; ++j) {
        const T d2 =
            a2.data<T>()[i] + b2.data<T>()[j] - 2 * products.data<T>()[(i - begin) * m + j];
        const double d = std::sqrt(double(std::max(d2, T(0))) + eps);
        if (d >= p.margin) continue;  // NaN stays
        if (std::hypot(pa[2 * i] - pb[2 * j], pa[2 * i + 1] - pb[2 * j + 1]) > p.radius) f(i, j, d);
      }
  }
}

}  // namespace

MarginMean margin_mean(const Tensor& a, const Tensor& b, const Margin& p) {
  const char* op = "margin_mean";
  require_same_dtype(op, a, b);
  require(a.rank() == 2 && b.rank() == 2 && a.dim(1) == b.dim(1) &&
              p.positions_a.shape() == Shape({a.dim(0), 2}) &&
              p.positions_b.shape() == Shape({b.dim(0), 2}),
          ErrorId::shape, op, "rows ", a.shape(), " and ", b.shape(), " with positions ",
          p.positions_a.shape(), " and ", p.positions_b.shape());
  require_same_device(op, a, p.positions_a);
  require_same_device(op, a, p.positions_b);
  if (a.on_gpu()) return cuda::margin_mean(a, b, p);
  double total = 0;
  int64_t count = 0;
  dispatch_float(a.dtype(), op, [&]<class T>() {
    for_each<T>(a, b, p, [&](int64_t, int64_t, double d) {
      total += (p.margin - d) * (p.margin - d);
      ++count;
    });
  });
  return {Tensor::scalar(count ? total / double(count) : 0, a.dtype()),
          Tensor::scalar(double(count), DType::f64)};
}

MarginMeanGrads margin_mean_backward(const Tensor& dy, const Tensor& count, const Tensor& a,
                                     const Tensor& b, const Margin& p) {
  require_same_device("margin_mean_backward", a, dy);
  if (a.on_gpu()) return cuda::margin_mean_backward(dy, count, a, b, p);
  const double factor = 2 * dy.item() / std::max(1.0, count.item());
  MarginMeanGrads g{Tensor::zeros(a.shape(), a.dtype()), Tensor::zeros(b.shape(), b.dtype())};
  dispatch_float(a.dtype(), "margin_mean_backward", [&]<class T>() {
    const int64_t c = a.dim(1);
    for_each<T>(a, b, p, [&](int64_t i, int64_t j, double d) {
      const T w = T(-factor * (p.margin - d) / d);
      const T *ai = a.data<T>() + i * c, *bj = b.data<T>() + j * c;
      T *gi = g.da.data<T>() + i * c, *gj = g.db.data<T>() + j * c;
      for (int64_t k = 0; k < c; ++k) {
        const T v = w * (ai[k] - bj[k]);
        gi[k] += v;
        gj[k] -= v;
      }
    });
  });
  return g;
}

}  // namespace cairn::kernels

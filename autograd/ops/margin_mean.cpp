#include <algorithm>
#include <cmath>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn {
namespace {

/// With d_ij = sqrt(||a_i - b_j||^2 + eps):   y = mean over {outside the radius, d_ij < margin} of
/// (margin - d_ij)^2, 0 if there is none.
/// With w_ij = -(margin - d_ij) / d_ij / count there and 0 elsewhere (dy / d||a_i - b_j||^2):
///   da_i = 2 dy (a_i sum_j w_ij - sum_j w_ij b_j)     db_j = 2 dy (b_j sum_i w_ij - sum_i w_ij
///   a_i)
/// Rows of a are taken in blocks, so that no K x M matrix lives; the backward computes d again.
struct MarginMean {
  static constexpr auto name = "margin_mean";
  static constexpr int64_t block = 64;
  static constexpr double eps = 0x1p-23;  // float32's, as in the reference
  Tensor positions_a, positions_b;        // f64
  double radius, margin;

  /// Calls f(i, j, d) for every counted pair of rows [begin, end) of a, in order.
  template <class T, class F>
  void for_each(const Tensor& a, const Tensor& b, const Tensor& a2, const Tensor& b2, int64_t begin,
                int64_t end, F&& f) const {
    const int64_t c = a.dim(1), m = b.dim(0);
    const Tensor rows = Tensor::from(
        {end - begin, c}, a.span<T>().subspan(size_t(begin * c), size_t((end - begin) * c)));
    const Tensor products = kernels::matmul(rows, b, false, true);
    const double *pa = positions_a.data<double>(), *pb = positions_b.data<double>();
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < m; ++j) {
        const T d2 =
            a2.data<T>()[i] + b2.data<T>()[j] - 2 * products.data<T>()[(i - begin) * m + j];
        const double d = std::sqrt(double(std::max(d2, T(0))) + eps);
        if (d >= margin) continue;  // NaN stays
        if (std::hypot(pa[2 * i] - pb[2 * j], pa[2 * i + 1] - pb[2 * j + 1]) > radius) f(i, j, d);
      }
  }
  static Tensor squared_norms(const Tensor& x) { return kernels::sum(kernels::square(x), {1}); }

  Tensor forward(Saved& s, Inputs x) const {
    const Tensor &a = x[0], &b = x[1];
    require(a.rank() == 2 && b.rank() == 2 && a.dim(1) == b.dim(1) &&
                positions_a.shape() == Shape{a.dim(0), 2} &&
                positions_b.shape() == Shape{b.dim(0), 2},
            ErrorId::shape, name, "rows ", a.shape(), " and ", b.shape(), " with positions ",
            positions_a.shape(), " and ", positions_b.shape());
    double total = 0;
    int64_t count = 0;
    const Tensor a2 = squared_norms(a), b2 = squared_norms(b);
    dispatch_float(a.dtype(), name, [&]<class T>() {
      for (int64_t begin = 0; begin < a.dim(0); begin += block)
        for_each<T>(a, b, a2, b2, begin, std::min(begin + block, a.dim(0)),
                    [&](int64_t, int64_t, double d) {
                      total += (margin - d) * (margin - d);
                      ++count;
                    });
    });
    s.keep(a, b, a2, b2, Tensor::scalar(double(count), DType::f64));
    return Tensor::scalar(count ? total / double(count) : 0, a.dtype());
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    const Tensor &a = s[0], &b = s[1];
    const double factor = 2 * dy.item() / std::max(1.0, s[4].item());
    Tensor da = Tensor::zeros(a.shape(), a.dtype()), db = Tensor::zeros(b.shape(), b.dtype());
    dispatch_float(a.dtype(), name, [&]<class T>() {
      const int64_t c = a.dim(1);
      for (int64_t begin = 0; begin < a.dim(0); begin += block)
        for_each<T>(a, b, s[2], s[3], begin, std::min(begin + block, a.dim(0)),
                    [&](int64_t i, int64_t j, double d) {
                      const T w = T(-factor * (margin - d) / d);
                      const T *ai = a.data<T>() + i * c, *bj = b.data<T>() + j * c;
                      T *gi = da.data<T>() + i * c, *gj = db.data<T>() + j * c;
                      for (int64_t k = 0; k < c; ++k) {
                        const T g = w * (ai[k] - bj[k]);
                        gi[k] += g;
                        gj[k] -= g;
                      }
                    });
    });
    return {da, db};
  }
  static Samples samples() {
    const auto with = [](double radius, double margin) {
      return [=](const std::vector<Var>& v) {
        const auto line = [](int64_t n, double step) {
          Tensor t = Tensor::zeros({n, 2}, DType::f64);
          for (int64_t i = 0; i < n; ++i) t.data<double>()[2 * i] = step * double(i);
          return t;
        };
        return margin_mean(v[0], v[1], line(v[0].dim(0), 2), line(v[1].dim(0), 1), radius, margin);
      };
    };
    return {{"all within the margin", {{{4, 3}}, {{5, 3}}}, with(0.5, 9)},
            {"more rows than a block", {{{70, 2}}, {{3, 2}}}, with(1.5, 9)},
            {"none far enough away", {{{2, 3}}, {{3, 3}}}, with(100, 9)},
            {"no rows", {{{0, 3}}, {{5, 3}}}, with(1, 9)}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(MarginMean)
Var margin_mean(const Var& a, const Var& b, const Tensor& positions_a, const Tensor& positions_b,
                double radius, double margin) {
  return apply(MarginMean{positions_a, positions_b, radius, margin}, {a, b});
}

}  // namespace cairn

#include "tensor/kernels/margin_mean/margin_mean.h"
#include "autograd/op.h"
#include "autograd/ops.h"

namespace cairn {
namespace {

/// The cost of all negatives nearer than a margin; formula and gradient in
/// tensor/kernels/margin_mean.
struct MarginMean {
  static constexpr auto name = "margin_mean";
  kernels::Margin margin;

  Tensor forward(Saved& s, Inputs x) const {
    const auto [mean, count] = kernels::margin_mean(x[0], x[1], margin);
    s.keep(x[0], x[1], count);
    return mean;
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    const auto g = kernels::margin_mean_backward(dy, s[2], s[0], s[1], margin);
    return {g.da, g.db};
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
  return apply(MarginMean{{positions_a.to(a.device()), positions_b.to(a.device()), radius, margin}},
               {a, b});
}

}  // namespace cairn

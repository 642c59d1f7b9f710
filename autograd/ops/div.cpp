#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = a / b.   da = dy / b   db = -dy y / b
struct Div {
  static constexpr auto name = "div";
  static Tensor forward(Saved& s, Inputs x) {
    const Tensor y = kernels::div(x[0], x[1]);
    s.keep(x[1], y);
    return y;
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    const Tensor da = kernels::div(dy, s[0]);
    return {da, s.needs(1) ? kernels::affine(kernels::mul(da, s[1]), -1, 0) : Tensor()};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return div(v[0], v[1]); };
    return {{"equal shapes", {{{2, 3, 5, 4}}, {{2, 3, 5, 4}, 0.5, 2}}, run},
            {"a row under a matrix", {{{3, 4}}, {{4}, 0.5, 2}}, run},
            {"both stretch", {{{2, 1, 4}}, {{3, 1}, -2, -0.5}}, run},
            {"a scalar", {{{2, 3}}, {{}, 0.5, 2}}, run},
            {"no elements", {{{0, 3}}, {{3}, 0.5, 2}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Div)
Var div(const Var& a, const Var& b) { return apply(Div{}, {a, b}); }

}  // namespace cairn

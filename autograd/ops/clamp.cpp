#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = min(max(x, lo), hi).   dx = dy [lo < x < hi]
struct Clamp {
  static constexpr auto name = "clamp";
  double lo, hi;

  Tensor forward(Saved& s, Inputs x) const {
    s.keep(x[0]);
    return kernels::clamp(x[0], lo, hi);
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    return {kernels::clamp_backward(s[0], dy, lo, hi)};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return clamp(v[0], -0.4, 0.5); };
    const auto hinged = [](const std::vector<Var>& v) { return hinge(v[0], 0.3); };
    return {{"a matrix", {{{4, 7}, -1, 1, {-0.4, 0.5}}}, run},
            {"a hinge", {{{4, 7}, -1, 1, {0.3}}}, hinged},
            {"no elements", {{{0}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Clamp)
Var clamp(const Var& x, double lo, double hi) { return apply(Clamp{lo, hi}, {x}); }
Var hinge(const Var& x, double margin) { return relu(scale(x, -1, margin)); }

}  // namespace cairn

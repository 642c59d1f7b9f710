#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// Rectified linear unit.   y = max(x, 0)   dx = dy [y > 0]
struct Relu {
  static constexpr auto name = "relu";
  static Tensor forward(Saved& s, Inputs x) {
    Tensor y = kernels::relu(x[0]);
    s.keep(y);  // the output tells where the gradient passes; x need not live
    return y;
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {kernels::relu_backward(s[0], dy)};
  }
  static PlannedOp planned(Inputs x) { return {PlannedOp::relu, x[0].shape()}; }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return relu(v[0]); };
    return {{"an image", {{{2, 3, 5, 4}, -1, 1, {0}}}, run},
            {"one pixel", {{{1, 1, 1, 1}, -1, 1, {0}}}, run},
            {"no elements", {{{0, 3, 5, 4}, -1, 1, {0}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Relu)
Var relu(const Var& x) { return apply(Relu{}, {x}); }

}  // namespace cairn

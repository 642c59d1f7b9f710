#include "autograd/ops.h"
#include "autograd/ops/arithmetic.h"
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
  static Samples samples() { return broadcast_samples(div, 0.5, 2); }
};

}  // namespace

CAIRN_REGISTER_OP(Div)
Var div(const Var& a, const Var& b) { return apply(Div{}, {a, b}); }

}  // namespace cairn

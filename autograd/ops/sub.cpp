#include "autograd/ops.h"
#include "autograd/ops/arithmetic.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = a - b.   da = dy   db = -dy
struct Sub {
  static constexpr auto name = "sub";
  static Tensor forward(Saved&, Inputs x) { return kernels::sub(x[0], x[1]); }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {dy, s.needs(1) ? kernels::affine(dy, -1, 0) : Tensor()};
  }
  static Samples samples() { return broadcast_samples(sub); }
};

}  // namespace

CAIRN_REGISTER_OP(Sub)
Var sub(const Var& a, const Var& b) { return apply(Sub{}, {a, b}); }

}  // namespace cairn

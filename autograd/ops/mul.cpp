#include "autograd/ops.h"
#include "autograd/ops/arithmetic.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = a b.   da = dy b   db = dy a
struct Mul {
  static constexpr auto name = "mul";
  static Tensor forward(Saved& s, Inputs x) {
    s.keep(x[0], x[1]);
    return kernels::mul(x[0], x[1]);
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {s.needs(0) ? kernels::mul(dy, s[1]) : Tensor(),
            s.needs(1) ? kernels::mul(dy, s[0]) : Tensor()};
  }
  static Samples samples() { return broadcast_samples(mul); }
};

}  // namespace

CAIRN_REGISTER_OP(Mul)
Var mul(const Var& a, const Var& b) { return apply(Mul{}, {a, b}); }

}  // namespace cairn

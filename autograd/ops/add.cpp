#include "autograd/ops.h"
#include "autograd/ops/arithmetic.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = a + b.   da = dy   db = dy   (the engine sums them back over stretched axes)
struct Add {
  static constexpr auto name = "add";
  static Tensor forward(Saved&, Inputs x) { return kernels::add(x[0], x[1]); }
  static Grads backward(const Saved&, const Tensor& dy) { return {dy, dy}; }
  static Samples samples() { return broadcast_samples(add); }
};

}  // namespace

CAIRN_REGISTER_OP(Add)
Var add(const Var& a, const Var& b) { return apply(Add{}, {a, b}); }

}  // namespace cairn

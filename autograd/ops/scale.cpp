#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = factor x + offset.   dx = factor dy
struct Scale {
  static constexpr auto name = "scale";
  double factor, offset;

  Tensor forward(Saved&, Inputs x) const { return kernels::affine(x[0], factor, offset); }
  Grads backward(const Saved&, const Tensor& dy) const { return {kernels::affine(dy, factor, 0)}; }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return scale(v[0], -1.5, 0.25); };
    return {{"a matrix", {{{3, 5}}}, run}, {"no elements", {{{0, 2}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Scale)
Var scale(const Var& x, double factor, double offset) { return apply(Scale{factor, offset}, {x}); }

}  // namespace cairn

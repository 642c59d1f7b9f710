#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// Square root.   y = sqrt(x)   dx = dy / (2 y)
struct Sqrt {
  static constexpr auto name = "sqrt";
  static Tensor forward(Saved& s, Inputs x) {
    Tensor y = kernels::sqrt(x[0]);
    s.keep(y);
    return y;
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {kernels::div(kernels::affine(dy, 0.5, 0), s[0])};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return sqrt(v[0]); };
    return {{"positive numbers", {{{3, 5}, 0.2, 3}}, run}, {"no elements", {{{0}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Sqrt)
Var sqrt(const Var& x) { return apply(Sqrt{}, {x}); }

}  // namespace cairn

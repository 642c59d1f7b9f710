#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// Square.   y = x^2   dx = 2 x dy
struct Square {
  static constexpr auto name = "square";
  static Tensor forward(Saved& s, Inputs x) {
    s.keep(x[0]);
    return kernels::square(x[0]);
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {kernels::affine(kernels::mul(s[0], dy), 2, 0)};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return square(v[0]); };
    return {{"a matrix", {{{3, 5}}}, run}, {"no elements", {{{2, 0}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Square)
Var square(const Var& x) { return apply(Square{}, {x}); }

}  // namespace cairn

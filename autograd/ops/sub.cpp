#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = a - b.   da = dy   db = -dy
struct Sub {
  static constexpr auto name = "sub";
  static Tensor forward(Saved& s, Inputs x) {
    (void)s;
    return kernels::sub(x[0], x[1]);
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {dy, s.needs(1) ? kernels::affine(dy, -1, 0) : Tensor()};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return sub(v[0], v[1]); };
    return {{"equal shapes", {{{2, 3, 5, 4}}, {{2, 3, 5, 4}}}, run},
            {"a row against a matrix", {{{3, 4}}, {{4}}}, run},
            {"both stretch", {{{2, 1, 4}}, {{3, 1}}}, run},
            {"a scalar", {{{2, 3}}, {{}}}, run},
            {"no elements", {{{0, 3}}, {{3}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Sub)
Var sub(const Var& a, const Var& b) { return apply(Sub{}, {a, b}); }

}  // namespace cairn

#include "autograd/op.h"
#include "autograd/ops.h"
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
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return mul(v[0], v[1]); };
    return {{"equal shapes", {{{2, 3, 5, 4}}, {{2, 3, 5, 4}}}, run},
            {"a row against a matrix", {{{3, 4}}, {{4}}}, run},
            {"both stretch", {{{2, 1, 4}}, {{3, 1}}}, run},
            {"a scalar", {{{2, 3}}, {{}}}, run},
            {"no elements", {{{0, 3}}, {{3}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Mul)
Var mul(const Var& a, const Var& b) { return apply(Mul{}, {a, b}); }

}  // namespace cairn

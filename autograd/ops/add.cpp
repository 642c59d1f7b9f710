#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn {
namespace {

/// y = a + b.   da = dy   db = dy   (the engine sums them back over stretched axes)
struct Add {
  static constexpr auto name = "add";
  static Tensor forward(Saved& s, Inputs x) {
    (void)s;
    return kernels::add(x[0], x[1]);
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    (void)s;
    return {dy, dy};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return add(v[0], v[1]); };
    return {{"equal shapes", {{{2, 3, 5, 4}}, {{2, 3, 5, 4}}}, run},
            {"a row against a matrix", {{{3, 4}}, {{4}}}, run},
            {"both stretch", {{{2, 1, 4}}, {{3, 1}}}, run},
            {"a scalar", {{{2, 3}}, {{}}}, run},
            {"no elements", {{{0, 3}}, {{3}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Add)
Var add(const Var& a, const Var& b) { return apply(Add{}, {a, b}); }

}  // namespace cairn

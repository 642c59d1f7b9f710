#include <algorithm>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn {
namespace {

/// y = sum of x over axes.   dx = dy repeated along them
struct Sum {
  static constexpr auto name = "sum";
  std::vector<int> axes;
  bool keep;

  Tensor forward(Saved&, Inputs x) const { return kernels::sum(x[0], axes, keep); }
  Grads backward(const Saved& s, const Tensor& dy) const {
    Shape kept = s.shape(0);
    for (int a = 0; a < kept.rank(); ++a)
      if (axes.empty()) kept[a] = 1;
    for (int a : axes) kept[a] = 1;
    return {kernels::broadcast_to(dy.reshape(kept), s.shape(0))};
  }
  static Samples samples() {
    const auto over = [](std::vector<int> axes, bool keep) {
      return [=](const std::vector<Var>& v) { return sum(v[0], axes, keep); };
    };
    const auto mean_over = [](std::vector<int> axes) {
      return [=](const std::vector<Var>& v) { return mean(v[0], axes); };
    };
    return {{"everything", {{{2, 3, 4}}}, over({}, false)},
            {"first axis", {{{2, 3, 4}}}, over({0}, false)},
            {"inner axes, kept", {{{2, 3, 5, 4}}}, over({1, 2}, true)},
            {"last axis", {{{3, 7}}}, over({-1}, false)},
            {"mean of two axes", {{{2, 3, 4}}}, mean_over({0, 2})},
            {"mean of everything", {{{2, 3}}}, mean_over({})},
            {"no elements", {{{0, 3}}}, over({0}, false)}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Sum)
Var sum(const Var& x, const std::vector<int>& axes, bool keep) {
  return apply(Sum{axes, keep}, {x});
}
Var mean(const Var& x, const std::vector<int>& axes, bool keep) {
  const Var total = sum(x, axes, keep);
  const int64_t count = x.value().numel() / std::max<int64_t>(1, total.value().numel());
  return scale(total, 1.0 / double(std::max<int64_t>(1, count)));
}

}  // namespace cairn

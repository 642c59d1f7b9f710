#include "tensor/kernels/softmax/softmax.h"
#include "autograd/op.h"
#include "autograd/ops.h"

namespace cairn {
namespace {

/// y = exp(x - max) / sum exp(x - max).   dx = y (dy - sum dy y)
struct Softmax {
  static constexpr auto name = "softmax";
  static Tensor forward(Saved& s, Inputs x) {
    Tensor y = kernels::softmax(x[0]);
    s.keep(y);
    return y;
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {kernels::softmax_backward(s[0], dy)};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return softmax(v[0]); };
    return {{"rows", {{{4, 7}, -3, 3}}, run},
            {"one class", {{{3, 1}}}, run},
            {"no rows", {{{0, 4}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Softmax)
Var softmax(const Var& x) { return apply(Softmax{}, {x}); }

}  // namespace cairn

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/softmax/softmax.h"

namespace cairn {
namespace {

/// y = x - max - log sum exp(x - max).   dx = dy - exp(y) sum dy
struct LogSoftmax {
  static constexpr auto name = "log_softmax";
  static Tensor forward(Saved& s, Inputs x) {
    Tensor y = kernels::log_softmax(x[0]);
    s.keep(y);
    return y;
  }
  static Grads backward(const Saved& s, const Tensor& dy) {
    return {kernels::log_softmax_backward(s[0], dy)};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return log_softmax(v[0]); };
    return {{"rows", {{{4, 7}, -3, 3}}, run},
            {"one class", {{{3, 1}}}, run},
            {"no rows", {{{0, 4}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(LogSoftmax)
Var log_softmax(const Var& x) { return apply(LogSoftmax{}, {x}); }

}  // namespace cairn

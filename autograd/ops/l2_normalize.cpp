#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "autograd/op.h"
#include "autograd/ops.h"

namespace cairn {
namespace {

/// y = x / (||x|| + eps) along the last axis; the gradient is in tensor/kernels/l2_normalize.
struct L2Normalize {
  static constexpr auto name = "l2_normalize";
  double eps;

  Tensor forward(Saved& s, Inputs x) const {
    s.keep(x[0]);
    return kernels::l2_normalize(x[0], eps);
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    return {kernels::l2_normalize_backward(s[0], dy, eps)};
  }
  PlannedOp planned(Inputs x) const {
    PlannedOp p{PlannedOp::l2_normalize, x[0].shape()};
    p.eps = eps;
    return p;
  }
  static Samples samples() {
    const auto with = [](double eps) {
      return [=](const std::vector<Var>& v) { return l2_normalize(v[0], eps); };
    };
    return {{"an image", {{{2, 3, 4, 5}}}, with(1e-8)},
            {"one channel", {{{3, 1}, 0.2, 1}}, with(0.1)},
            {"a large eps", {{{3, 4}}}, with(0.5)},
            {"no elements", {{{0, 4}}}, with(1e-8)}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(L2Normalize)
Var l2_normalize(const Var& x, double eps) { return apply(L2Normalize{eps}, {x}); }

}  // namespace cairn

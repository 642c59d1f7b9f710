#include <cmath>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn {
namespace {

/// y = sum of x where mask / count(mask), 0 if the mask is empty.   dx = dy mask / count(mask)
struct MaskedMean {
  static constexpr auto name = "masked_mean";
  Tensor mask;  // u8

  Tensor forward(Saved& s, Inputs x) const {
    require_same_shape(name, x[0], mask);
    const Tensor chosen = kernels::clamp(mask.to(x[0].dtype()), 0, 1);
    const Tensor count = kernels::clamp(kernels::sum(chosen), 1, INFINITY);
    const Tensor weight = kernels::div(chosen, count);
    s.keep(weight);
    // Selecting, not multiplying: a masked NaN must not reach the sum.
    return kernels::sum(kernels::mul(kernels::relu_backward(weight, x[0]), weight));
  }
  Grads backward(const Saved& s, const Tensor& dy) const { return {kernels::mul(s[0], dy)}; }
  static Samples samples() {
    const auto with = [](std::vector<uint8_t> mask) {
      return [=](const std::vector<Var>& v) {
        return masked_mean(v[0], Tensor::from(v[0].shape(), mask));
      };
    };
    return {{"some", {{{2, 3}}}, with({1, 0, 1, 1, 0, 0})},
            {"none", {{{3}}}, with({0, 0, 0})},
            {"any non-zero byte counts once", {{{3}}}, with({255, 7, 0})},
            {"no elements", {{{0}}}, with({})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(MaskedMean)
Var masked_mean(const Var& x, const Tensor& mask) {
  return apply(MaskedMean{mask.to(x.device())}, {x});
}

}  // namespace cairn

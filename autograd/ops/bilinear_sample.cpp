#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/bilinear/bilinear.h"

namespace cairn {
namespace {

/// y[k] = x at positions[k], from its four neighbours.   dx gets dy[k] by the same four weights
struct BilinearSample {
  static constexpr auto name = "bilinear_sample";
  Tensor positions;

  Tensor forward(Saved&, Inputs x) const {
    return kernels::bilinear_sample(x[0], positions.to(x[0].dtype()));
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    return {kernels::bilinear_sample_backward(dy, positions.to(dy.dtype()), s.shape(0))};
  }
  static Samples samples() {
    const auto at = [](std::vector<double> xy) {
      return [=](const std::vector<Var>& v) {
        return bilinear_sample(v[0], Tensor::from({int64_t(xy.size()) / 2, 2}, xy));
      };
    };
    return {{"between pixels", {{{4, 5, 3}}}, at({0.25, 1.5, 3.9, 2.1, 2, 1})},
            {"the same place twice", {{{4, 5, 3}}}, at({1.3, 1.3, 1.3, 1.3, 1.6, 1.1})},
            {"clamped to the border", {{{4, 5, 2}}}, at({-3, 1.5, 9, 9, 4, 3, 2.5, -0.5})},
            {"one pixel", {{{1, 1, 2}}}, at({0, 0, 0.5, -0.5})},
            {"nowhere", {{{3, 3, 2}}}, at({})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(BilinearSample)
Var bilinear_sample(const Var& x, const Tensor& positions) {
  return apply(BilinearSample{positions.to(x.device())}, {x});
}

}  // namespace cairn

#include "tensor/kernels/conv2d/conv2d.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "autograd/ops/rounded.h"
#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn {
namespace {

/// y = relu?(x * w + bias? + residual?) (see tensor/kernels/conv2d). With g = dy [y > 0] if relu,
/// else dy: dx = data gradient of (g, w)   dw = weight gradient of (x, g)   db = sum of g over
/// pixels dresidual = g
struct Conv2d {
  static constexpr auto name = "conv2d";
  Conv2dGeometry g;
  bool bias, residual, relu;  // which inputs follow x and w, and how it ends

  Tensor forward(Saved& s, Inputs x) const {
    const Tensor w = rounded(x[1], x[0]);
    const Tensor y = kernels::conv2d(
        x[0], w, g,
        {bias ? rounded(x[2], x[0]) : Tensor(), residual ? x[bias ? 3 : 2] : Tensor(), relu});
    s.keep(x[0], w, relu ? y : Tensor());
    return y;
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    const Tensor d = relu ? kernels::relu_backward(s[2], dy) : dy;
    Grads grads(s.inputs());
    if (s.needs(0)) grads[0] = kernels::conv2d_data_grad(d, s[1], g, s.shape(0));
    if (s.needs(1)) grads[1] = kernels::conv2d_weight_grad(s[0], d, g, s.shape(1));
    if (bias && s.needs(2)) grads[2] = kernels::sum(d, {0, 1, 2});
    if (residual) grads.back() = d;
    return grads;
  }
  PlannedOp planned(Inputs x) const {
    PlannedOp p{PlannedOp::conv2d, kernels::conv2d_shape(x[0].shape(), x[1].shape(), g)};
    kernels::check_epilogue(name, x[0],
                            {bias ? x[2] : Tensor(), residual ? x[bias ? 3 : 2] : Tensor(), relu},
                            p.result);
    p.geometry = g;
    p.bias = bias;
    p.residual = residual;
    p.relu_after = relu;
    return p;
  }
  static Samples samples() {
    const auto with = [](Conv2dGeometry g) {
      return [=](const std::vector<Var>& v) {
        return conv2d(v[0], v[1], v.size() > 2 ? v[2] : Var(), g);
      };
    };
    return {
        {"3x3", {{{2, 5, 6, 3}}, {{4, 3, 3, 3}}}, with({{1, 1}, {1, 1}, {1, 1}})},
        {"1x1 with bias", {{{1, 4, 3, 5}}, {{2, 1, 1, 5}}, {{2}}}, with({})},
        {"residual",
         {{{1, 4, 3, 2}}, {{3, 3, 3, 2}}, {{1, 4, 3, 3}}},
         [](const std::vector<Var>& v) {
           return conv2d(v[0], v[1], {}, v[2], false, {{1, 1}, {1, 1}, {1, 1}});
         }},
        // The bias keeps the ReLU away from its kink, on either side of it.
        {"bias, residual, relu",
         {{{1, 4, 3, 2}},
          {{3, 1, 1, 2}, -0.2, 0.2},
          {{3}, -3, 3, {-1.5, 0, 1.5, -1, 1, 0.5, -0.5}},
          {{1, 4, 3, 3}, -0.05, 0.05}},
         [](const std::vector<Var>& v) { return conv2d(v[0], v[1], v[2], v[3], true, {}); }},
        {"stride 2", {{{1, 7, 6, 2}}, {{3, 3, 3, 2}}}, with({{2, 2}, {1, 1}, {1, 1}})},
        {"stride 3, no padding", {{{1, 9, 8, 2}}, {{2, 3, 3, 2}}}, with({{3, 3}, {}, {1, 1}})},
        {"stride 2 by 1", {{{1, 6, 5, 1}}, {{2, 3, 3, 1}}}, with({{2, 1}, {1, 0}, {1, 1}})},
        {"dilation 2", {{{1, 7, 8, 2}}, {{3, 3, 3, 2}}}, with({{1, 1}, {2, 2}, {2, 2}})},
        {"dilation 2, stride 2", {{{1, 9, 8, 2}}, {{2, 3, 3, 2}}}, with({{2, 2}, {1, 2}, {2, 2}})},
        {"one pixel", {{{1, 1, 1, 2}}, {{3, 3, 3, 2}}}, with({{1, 1}, {1, 1}, {1, 1}})},
        {"a 1x3 kernel", {{{1, 3, 5, 2}}, {{2, 1, 3, 2}}}, with({{1, 1}, {0, 1}, {1, 1}})},
        {"a 2x2 kernel, stride 3", {{{1, 8, 7, 1}}, {{1, 2, 2, 1}}}, with({{3, 3}, {}, {1, 1}})},
        {"no images", {{{0, 5, 5, 2}}, {{3, 3, 3, 2}}}, with({{1, 1}, {1, 1}, {1, 1}})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Conv2d)
Var conv2d(const Var& x, const Var& w, const Var& bias, const Conv2dGeometry& g) {
  return conv2d(x, w, bias, {}, false, g);
}
Var conv2d(const Var& x, const Var& w, const Var& bias, const Var& residual, bool relu,
           const Conv2dGeometry& g) {
  std::vector<Var> inputs{x, w};
  for (const Var& more : {bias, residual})
    if (more.defined()) inputs.push_back(more);
  return cairn::apply(Conv2d{g, bias.defined(), residual.defined(), relu}, inputs);
}

}  // namespace cairn

#include <algorithm>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "autograd/ops/rounded.h"
#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/conv2d/conv2d.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn {
namespace {

/// Transposed convolution: y = relu?(A' x + bias?), where A is the convolution of y's shape with w.
/// With g = dy [y > 0] if relu, else dy: dx = A g   dw = A's weight gradient of (g, x)   db = sum
/// of g over pixels
struct ConvTranspose2d {
  static constexpr auto name = "conv_transpose2d";
  Conv2dGeometry g;
  bool bias, relu;

  Shape result(Inputs in) const {
    const Tensor &x = in[0], &w = in[1];
    require(x.rank() == 4 && w.rank() == 4 && x.dim(3) == w.dim(0), ErrorId::shape, name,
            "the input ", x.shape(), " and the weight ", w.shape(),
            " do not fit: N x H x W x I and I x KH x KW x O are expected");
    const auto extent = [&](int axis) {
      const auto a = size_t(axis);
      return std::max<int64_t>(0, (x.dim(axis + 1) - 1) * g.stride[a] - 2 * g.padding[a] +
                                      g.dilation[a] * (w.dim(axis + 1) - 1) + 1);
    };
    return {x.dim(0), extent(0), extent(1), w.dim(3)};
  }
  Tensor forward(Saved& s, Inputs in) const {
    const Tensor &x = in[0], w = rounded(in[1], x);
    require_same_dtype(name, x, w);
    const Tensor y = kernels::conv2d_data_grad(x, w, g, result(in),
                                               {bias ? rounded(in[2], x) : Tensor(), {}, relu});
    s.keep(x, w, relu ? y : Tensor());
    return y;
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    const Tensor d = relu ? kernels::relu_backward(s[2], dy) : dy;
    Grads grads(s.inputs());
    if (s.needs(0)) grads[0] = kernels::conv2d(d, s[1], g);
    if (s.needs(1)) grads[1] = kernels::conv2d_weight_grad(d, s[0], g, s.shape(1));
    if (bias && s.needs(2)) grads[2] = kernels::sum(d, {0, 1, 2});
    return grads;
  }
  PlannedOp planned(Inputs in) const {
    PlannedOp p{PlannedOp::conv_transpose2d, result(in)};
    kernels::check_epilogue(name, in[0], {bias ? in[2] : Tensor(), {}, relu}, p.result);
    p.geometry = g;
    p.bias = bias;
    p.relu_after = relu;
    return p;
  }
  static Samples samples() {
    const auto with = [](Conv2dGeometry g) {
      return [=](const std::vector<Var>& v) { return conv_transpose2d(v[0], v[1], g); };
    };
    return {{"3x3, stride 2: 2n+1", {{{2, 3, 4, 3}}, {{3, 3, 3, 2}}}, with({{2, 2}, {}, {1, 1}})},
            {"3x3, stride 1", {{{1, 4, 3, 2}}, {{2, 3, 3, 3}}}, with({{1, 1}, {1, 1}, {1, 1}})},
            {"2x2, stride 3", {{{1, 3, 2, 2}}, {{2, 2, 2, 1}}}, with({{3, 3}, {}, {1, 1}})},
            {"dilation 2", {{{1, 3, 4, 2}}, {{2, 3, 3, 2}}}, with({{1, 1}, {1, 1}, {2, 2}})},
            {"one pixel", {{{1, 1, 1, 2}}, {{2, 3, 3, 2}}}, with({{2, 2}, {}, {1, 1}})},
            // The bias keeps the ReLU away from its kink, on either side of it.
            {"bias, relu",
             {{{1, 3, 4, 2}},
              {{2, 3, 3, 3}, -0.1, 0.1},
              {{3}, -3, 3, {-1.5, 0, 1.5, -1, 1, 0.5, -0.5}}},
             [](const std::vector<Var>& v) {
               return conv_transpose2d(v[0], v[1], v[2], true, {{2, 2}, {}, {1, 1}});
             }},
            {"no images", {{{0, 3, 3, 2}}, {{2, 3, 3, 2}}}, with({{2, 2}, {}, {1, 1}})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(ConvTranspose2d)
Var conv_transpose2d(const Var& x, const Var& w, const Conv2dGeometry& g) {
  return conv_transpose2d(x, w, {}, false, g);
}
Var conv_transpose2d(const Var& x, const Var& w, const Var& bias, bool relu,
                     const Conv2dGeometry& g) {
  const ConvTranspose2d op{g, bias.defined(), relu};
  return bias.defined() ? apply(op, {x, w, bias}) : apply(op, {x, w});
}

}  // namespace cairn

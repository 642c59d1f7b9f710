#include <algorithm>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "autograd/ops/rounded.h"
#include "tensor/kernels/conv2d/conv2d.h"

namespace cairn {
namespace {

/// Transposed convolution: y = A' x, where A is the convolution of y's shape with w.
/// dx = A dy   dw = A's weight gradient of (dy, x)
struct ConvTranspose2d {
  static constexpr auto name = "conv_transpose2d";
  Conv2dGeometry g;

  Tensor forward(Saved& s, Inputs in) const {
    const Tensor &x = in[0], w = rounded(in[1], x);
    require_same_dtype(name, x, w);
    require(x.rank() == 4 && w.rank() == 4 && x.dim(3) == w.dim(0), ErrorId::shape, name,
            "the input ", x.shape(), " and the weight ", w.shape(),
            " do not fit: N x H x W x I and I x KH x KW x O are expected");
    s.keep(x, w);
    const auto extent = [&](int axis) {
      const auto a = size_t(axis);
      return std::max<int64_t>(0, (x.dim(axis + 1) - 1) * g.stride[a] - 2 * g.padding[a] +
                                      g.dilation[a] * (w.dim(axis + 1) - 1) + 1);
    };
    return kernels::conv2d_data_grad(x, w, g, {x.dim(0), extent(0), extent(1), w.dim(3)});
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    return {s.needs(0) ? kernels::conv2d(dy, s[1], g) : Tensor(),
            s.needs(1) ? kernels::conv2d_weight_grad(dy, s[0], g, s.shape(1)) : Tensor()};
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
            {"no images", {{{0, 3, 3, 2}}, {{2, 3, 3, 2}}}, with({{2, 2}, {}, {1, 1}})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(ConvTranspose2d)
Var conv_transpose2d(const Var& x, const Var& w, const Conv2dGeometry& g) {
  return apply(ConvTranspose2d{g}, {x, w});
}

}  // namespace cairn

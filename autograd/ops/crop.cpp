#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/layout/layout.h"

namespace cairn {
namespace {

/// The top-left part of each image.   dx = dy, zero elsewhere
struct Crop {
  static constexpr auto name = "crop";
  int64_t height, width;

  Tensor forward(Saved&, Inputs x) const { return kernels::crop(x[0], height, width); }
  Grads backward(const Saved& s, const Tensor& dy) const {
    return {kernels::uncrop(dy, s.shape(0)[1], s.shape(0)[2])};
  }
  PlannedOp planned(Inputs x) const {
    require(x[0].rank() == 4 && height <= x[0].dim(1) && width <= x[0].dim(2), ErrorId::shape, name,
            height, "x", width, " does not fit into ", x[0].shape());
    return {PlannedOp::crop, {x[0].dim(0), height, width, x[0].dim(3)}};
  }
  static Samples samples() {
    const auto to = [](int64_t h, int64_t w) {
      return [=](const std::vector<Var>& v) { return crop(v[0], h, w); };
    };
    return {{"odd to even", {{{2, 5, 7, 3}}}, to(4, 6)},
            {"only the width", {{{1, 3, 3, 2}}}, to(3, 2)},
            {"to one pixel", {{{1, 3, 3, 1}}}, to(1, 1)},
            {"to nothing", {{{1, 3, 3, 1}}}, to(0, 2)},
            {"no images", {{{0, 3, 3, 2}}}, to(2, 2)}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Crop)
Var crop(const Var& x, int64_t height, int64_t width) {
  // Most skips already fit: no copy then.
  if (x.value().rank() == 4 && x.dim(1) == height && x.dim(2) == width) return x;
  return apply(Crop{height, width}, {x});
}

}  // namespace cairn

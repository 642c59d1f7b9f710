#include "autograd/op.h"
#include "autograd/ops.h"

namespace cairn {
namespace {

/// The same elements in another shape.   dx = dy in x's shape
struct Reshape {
  static constexpr auto name = "reshape";
  Shape shape;

  Tensor forward(Saved&, Inputs x) const { return x[0].reshape(shape); }
  Grads backward(const Saved& s, const Tensor& dy) const { return {dy.reshape(s.shape(0))}; }
  static Samples samples() {
    const auto to = [](Shape shape) {
      return [=](const std::vector<Var>& v) { return reshape(v[0], shape); };
    };
    return {{"to rows", {{{2, 3, 4}}}, to({6, 4})},
            {"to a scalar", {{{1, 1}}}, to({})},
            {"no elements", {{{0, 3}}}, to({3, 0})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Reshape)
Var reshape(const Var& x, const Shape& shape) { return apply(Reshape{shape}, {x}); }
Var reshape(const Var& x, std::initializer_list<int64_t> dims) {
  return reshape(x, x.value().reshape(dims).shape());
}

}  // namespace cairn

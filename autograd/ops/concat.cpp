#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/layout/layout.h"

namespace cairn {
namespace {

/// y = [a | b | ...] along the last axis.   each gradient is its slice of dy
struct Concat {
  static constexpr auto name = "concat";
  size_t parts;

  static Tensor forward(Saved&, Inputs x) { return kernels::concat(x); }
  Grads backward(const Saved& s, const Tensor& dy) const {
    Grads grads(parts);
    int64_t begin = 0;
    for (size_t i = 0; i < parts; ++i) {
      const int64_t count = s.shape(i)[-1];
      if (s.needs(i)) grads[i] = kernels::slice_channels(dy, begin, count);
      begin += count;
    }
    return grads;
  }
  static PlannedOp planned(Inputs x) {
    PlannedOp p{PlannedOp::concat, x[0].shape()};
    for (size_t i = 1; i < x.size(); ++i) {
      Shape other = x[i].shape(), first = x[0].shape();
      other[-1] = first[-1] = 0;
      require(other == first, ErrorId::shape, name, "the parts are ", x[0].shape(), " and ",
              x[i].shape());
      p.result[-1] += x[i].dim(-1);
    }
    return p;
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return concat(v); };
    return {{"two images", {{{2, 3, 5, 4}}, {{2, 3, 5, 1}}}, run},
            {"three rows", {{{2}}, {{3}}, {{1}}}, run},
            {"one empty", {{{2, 3}}, {{2, 0}}}, run},
            {"no rows", {{{0, 3}}, {{0, 2}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Concat)
Var concat(const std::vector<Var>& parts) { return cairn::apply(Concat{parts.size()}, parts); }

}  // namespace cairn

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/rows/rows.h"

namespace cairn {
namespace {

/// y[k] = x[index[k]].   dx[index[k]] += dy[k]
struct GatherRows {
  static constexpr auto name = "gather_rows";
  Tensor index;

  Tensor forward(Saved&, Inputs x) const { return kernels::gather_rows(x[0], index); }
  Grads backward(const Saved& s, const Tensor& dy) const {
    return {kernels::scatter_add_rows(dy, index, s.shape(0)[0])};
  }
  static Samples samples() {
    const auto at = [](std::vector<int64_t> index) {
      return [=](const std::vector<Var>& v) {
        return gather_rows(v[0], Tensor::from({int64_t(index.size())}, index));
      };
    };
    return {{"some rows", {{{5, 3}}}, at({4, 0, 2})},
            {"repeated rows", {{{4, 3}}}, at({1, 1, 3, 1, 0, 3})},
            {"none", {{{4, 3}}}, at({})},
            {"none of none", {{{0, 3}}}, at({})}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(GatherRows)
Var gather_rows(const Var& x, const Tensor& index) {
  return apply(GatherRows{index.to(x.device())}, {x});
}

}  // namespace cairn

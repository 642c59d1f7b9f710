#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/rows/rows.h"

namespace cairn {
namespace {

/// d = ||a - b||^2 for each row.   da = 2 (a - b) dd   db = -da
struct RowDistance2 {
  static constexpr auto name = "row_distance2";
  static Tensor forward(Saved& s, Inputs x) {
    s.keep(x[0], x[1]);
    return kernels::row_distance2(x[0], x[1]);
  }
  static Grads backward(const Saved& s, const Tensor& dd) {
    const Tensor da = kernels::row_distance2_backward(s[0], s[1], dd);
    return {da, s.needs(1) ? kernels::affine(da, -1, 0) : Tensor()};
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return row_distance2(v[0], v[1]); };
    return {{"rows", {{{5, 3}}, {{5, 3}}}, run},
            {"one number", {{{1, 1}}, {{1, 1}}}, run},
            {"no rows", {{{0, 3}}, {{0, 3}}}, run}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(RowDistance2)
Var row_distance2(const Var& a, const Var& b) { return apply(RowDistance2{}, {a, b}); }

}  // namespace cairn

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/gemm/gemm.h"

namespace cairn {
namespace {

/// Y = op(A) op(B).   d op(A) = dY op(B)^T   d op(B) = op(A)^T dY
struct Matmul {
  static constexpr auto name = "matmul";
  bool ta, tb;

  Tensor forward(Saved& s, Inputs x) const {
    s.keep(x[0], x[1]);
    return kernels::matmul(x[0], x[1], ta, tb);
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    const Tensor &a = s[0], &b = s[1];
    Grads g(2);
    if (s.needs(0))
      g[0] = ta ? kernels::matmul(b, dy, tb, true) : kernels::matmul(dy, b, false, !tb);
    if (s.needs(1))
      g[1] = tb ? kernels::matmul(dy, a, true, ta) : kernels::matmul(a, dy, !ta, false);
    return g;
  }
  static Samples samples() {
    const auto with = [](bool ta, bool tb) {
      return [=](const std::vector<Var>& v) { return matmul(v[0], v[1], ta, tb); };
    };
    return {{"A B", {{{3, 5}}, {{5, 4}}}, with(false, false)},
            {"A' B", {{{5, 3}}, {{5, 4}}}, with(true, false)},
            {"A B'", {{{3, 5}}, {{4, 5}}}, with(false, true)},
            {"A' B'", {{{5, 3}}, {{4, 5}}}, with(true, true)},
            {"one by one", {{{1, 1}}, {{1, 1}}}, with(false, false)},
            {"no rows", {{{0, 5}}, {{5, 4}}}, with(false, false)},
            {"nothing to sum", {{{3, 0}}, {{0, 4}}}, with(false, false)}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Matmul)
Var matmul(const Var& a, const Var& b, bool transpose_a, bool transpose_b) {
  return apply(Matmul{transpose_a, transpose_b}, {a, b});
}

}  // namespace cairn

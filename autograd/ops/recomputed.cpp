#include "autograd/op.h"
#include "autograd/ops.h"

namespace cairn {
namespace {

/// y = f(x), keeping x alone: backward() runs f again, and then f's own backward (Chen et al.,
/// 2016, https://arxiv.org/abs/1604.06174). Gradients of what f refers to are added to it there.
struct Recomputed {
  static constexpr auto name = "recomputed";
  std::function<Var(const Var&)> f;
  std::string layer = LayerScope::path();

  Tensor forward(Saved& s, Inputs in) const {
    NoGrad no_grad;
    s.keep(in[0]);
    return f(in[0]).value();
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    const Recomputing again;
    LayerScope scope(layer);
    const bool wanted = s.needs(0);
    const Var x(s[0], wanted);
    f(x).backward(dy);
    Grads grads(s.inputs());
    if (wanted) grads[0] = x.grad();
    return grads;
  }
  static Samples samples() {
    return {{"three operations",
             {{{2, 3}, 0.2, 1}},
             [](const std::vector<Var>& v) {
               return recomputed([](const Var& x) { return square(x) * sqrt(x); }, v[0]);
             }},
            {"one within another", {{{3}}}, [](const std::vector<Var>& v) {
               const auto f = [](const Var& x) { return square(x) * x; };
               return recomputed([f](const Var& x) { return recomputed(f, x) * x; }, v[0]);
             }}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(Recomputed)
Var recomputed(std::function<Var(const Var&)> f, const Var& x, const Var& parameter) {
  if (NoGrad::active()) return f(x);
  const Recomputed op{std::move(f)};
  return parameter.defined() ? apply(op, {x, parameter}) : apply(op, {x});
}

}  // namespace cairn

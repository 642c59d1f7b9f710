#include <algorithm>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/random.h"

namespace cairn {
namespace {

/// Batch normalisation, with the residual and the ReLU that follow; formulas in
/// tensor/kernels/batch_norm. running += momentum (batch - running), the variance unbiased.
struct BatchNorm {
  static constexpr auto name = "batch_norm";
  BatchNormState state;
  bool residual, relu;

  Tensor forward(Saved& s, Inputs in) const {
    const Tensor &x = in[0], &gamma = in[1], &beta = in[2];
    kernels::BatchMoments moments;
    if (state.training)
      moments = kernels::batch_moments(x, state.eps);
    else
      moments = {state.running_mean, state.running_var,
                 kernels::inverse_deviation(state.running_var, state.eps)};
    const auto& [mean, variance, invstd] = moments;
    const Tensor y =
        kernels::batch_norm(x, gamma, beta, mean, invstd, residual ? in[3] : Tensor(), relu);
    if (state.training) update_running(moments, x.numel() / std::max<int64_t>(1, mean.numel()));
    // A copy of the running mean, because a later training step changes it in place.
    s.keep(x, gamma, state.training ? mean : mean.clone(), invstd, relu ? y : Tensor());
    return y;
  }
  Grads backward(const Saved& s, const Tensor& dy) const {
    auto g = kernels::batch_norm_backward(dy, s[0], s[4], s[1], s[2], s[3], relu, state.training,
                                          residual && s.needs(3));
    Grads grads = {g.dx, g.dgamma, g.dbeta};
    if (residual) grads.push_back(g.dresidual);
    return grads;
  }
  void update_running(const kernels::BatchMoments& moments, int64_t count) const {
    if (count == 0 || !state.running_mean.defined()) return;
    const double unbiased = double(count) / double(std::max<int64_t>(1, count - 1));
    Tensor running_mean = state.running_mean, running_var = state.running_var;  // shared storage
    kernels::update_running_(running_mean, running_var, moments, state.momentum, unbiased);
  }
  PlannedOp planned(Inputs x) const {
    PlannedOp p{PlannedOp::batch_norm, x[0].shape()};
    p.residual = residual;
    p.relu_after = relu;
    p.eps = state.eps;
    if (!state.training) p.running_mean = state.running_mean, p.running_var = state.running_var;
    return p;
  }
  static Samples samples() {
    const auto with = [](bool training, bool relu) {
      return [=](const std::vector<Var>& v) {
        const int64_t c = v[0].dim(-1);
        Random random(1);
        BatchNormState state;
        const auto running = [&](double lo, double hi) {
          return random_uniform({c}, random, lo, hi, v[0].dtype()).to(v[0].device());
        };
        state.running_mean = running(-0.2, 0.2);
        state.running_var = running(0.5, 1.5);
        state.training = training;
        return batch_norm(v[0], v[1], v[2], state, v.size() > 3 ? v[3] : Var(), relu);
      };
    };
    const Sample::Input gamma{{3}, 0.5, 1.5}, beta{{3}};
    // With large |beta| and a small gamma the ReLU stays away from its kink.
    const Sample::Input small{{3}, 0.05, 0.1}, away{{3}, -1, 1, {-0.4, -0.2, 0, 0.2, 0.4}};
    return {
        {"training", {{{2, 3, 4, 3}}, gamma, beta}, with(true, false)},
        {"training, relu", {{{2, 3, 4, 3}}, small, away}, with(true, true)},
        {"training, residual", {{{2, 3, 4, 3}}, gamma, beta, {{2, 3, 4, 3}}}, with(true, false)},
        {"training, residual, relu",
         {{{2, 3, 4, 3}}, small, {{3}, 0.6, 1}, {{2, 3, 4, 3}, -0.1, 0.1}},
         with(true, true)},
        {"evaluation", {{{2, 3, 4, 3}}, gamma, beta}, with(false, false)},
        {"evaluation, residual, relu",
         {{{2, 3, 4, 3}}, small, {{3}, 0.6, 1}, {{2, 3, 4, 3}, -0.1, 0.1}},
         with(false, true)},
        {"rows", {{{7, 3}}, gamma, beta}, with(true, false)},
        {"evaluation, one pixel", {{{1, 1, 1, 3}}, gamma, beta}, with(false, false)},
        {"no images", {{{0, 2, 2, 3}}, gamma, beta}, with(true, false)}};
  }
};

}  // namespace

CAIRN_REGISTER_OP(BatchNorm)
Var batch_norm(const Var& x, const Var& gamma, const Var& beta, BatchNormState& state,
               const Var& residual, bool relu) {
  const BatchNorm op{state, residual.defined(), relu};
  return residual.defined() ? apply(op, {x, gamma, beta, residual}) : apply(op, {x, gamma, beta});
}

}  // namespace cairn

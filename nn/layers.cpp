#include "nn/layers.h"

#include <cmath>

#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn::nn {

namespace {
thread_local int skipping = 0;
}  // namespace

SkipInit::SkipInit() { ++skipping; }
SkipInit::~SkipInit() { --skipping; }

Tensor kaiming_normal(const Shape& shape, int64_t fan, Random& random) {
  if (skipping) return Tensor::zeros(shape);
  return random_normal(shape, random, 0, std::sqrt(2.0 / double(std::max<int64_t>(1, fan))));
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, Random& random, Conv2dGeometry geometry,
               bool bias)
    : g_(geometry),
      weight_(parameter("weight",
                        kaiming_normal({out, kernel, kernel, in}, out * kernel * kernel, random))) {
  if (bias) bias_ = &parameter("bias", Tensor::zeros({out}));
}

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, Random& random,
                                 Conv2dGeometry geometry)
    : g_(geometry),
      weight_(parameter(
          "weight", kaiming_normal({in, kernel, kernel, out}, out * kernel * kernel, random))) {}

BatchNorm2d::BatchNorm2d(int64_t channels, double momentum, double eps)
    : momentum_(momentum),
      eps_(eps),
      weight_(parameter("weight", Tensor::full({channels}, 1))),
      bias_(parameter("bias", Tensor::zeros({channels}))),
      running_mean_(buffer("running_mean", Tensor::zeros({channels}))),
      running_var_(buffer("running_var", Tensor::full({channels}, 1))),
      batches_(buffer("num_batches_tracked", Tensor::zeros({}, DType::i64))) {}

Var BatchNorm2d::operator()(const Var& x, const Var& residual, bool relu) {
  LayerScope scope(name());
  return run(x, residual, relu);
}

Var BatchNorm2d::after(Conv2d& conv, const Var& x, const Var& residual, bool relu) {
  if (!foldable() || conv.bias_) return (*this)(conv(x), residual, relu);
  LayerScope scope(conv.name());
  const DType type = x.dtype() == DType::bf16 ? DType::bf16 : conv.weight_.dtype();
  const auto [weight, bias] =
      kernels::fold_batch_norm(conv.weight_.value(), weight_.value(), bias_.value(), running_mean_,
                               running_var_, eps_, type);
  return conv2d(x, weight, bias, residual, relu, conv.g_);
}

Var BatchNorm2d::after(ConvTranspose2d& conv, const Var& x, bool relu) {
  // On a GPU the fast path has no epilogue for it.
  if (!foldable() || x.device() == Device::cuda) return (*this)(conv(x), {}, relu);
  LayerScope scope(conv.name());
  const Tensor invstd = kernels::inverse_deviation(running_var_, eps_);
  const Tensor factor = kernels::mul(weight_.value(), invstd);
  const Tensor weight = kernels::mul(conv.weight_.value(), factor);  // outputs are its last axis
  const Tensor bias = kernels::sub(bias_.value(), kernels::mul(running_mean_, factor));
  return conv_transpose2d(x, weight, bias, relu, conv.g_);
}

Var BatchNorm2d::run(const Var& x, const Var& residual, bool relu) {
  const bool takes = take_moments && !training();
  BatchNormState state{running_mean_, running_var_, takes ? 1 : momentum_, eps_,
                       training() || own_moments || takes};
  const bool counts = training() && !Recomputing::active();
  if (takes) {
    take_moments = own_moments = false;
    // Adding the difference to what was there would round.
    for (Tensor* t : {&running_mean_, &running_var_})
      t->assign_(Tensor::zeros(t->shape(), t->dtype(), t->device()));
  }
  if (state.training && !counts && !takes)
    state.running_mean = state.running_var = {};  // left alone
  if (counts) ++*batches_.data<int64_t>();
  return batch_norm(x, weight_, bias_, state, residual, relu);
}

Linear::Linear(int64_t in, int64_t out, Random& random)
    : weight_(parameter("weight", kaiming_normal({out, in}, in, random))),
      bias_(parameter("bias", Tensor::zeros({out}))) {}

}  // namespace cairn::nn

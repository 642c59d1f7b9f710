// The layers, with PyTorch's names for their parameters. Images are N x H x W x C.
#pragma once

#include "nn/module.h"

namespace cairn::nn {

/// Weight O x K x K x I, Kaiming normal (relu, fan-out); bias zeros, if asked for.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, Random& random, Conv2dGeometry geometry = {},
         bool bias = false);

 private:
  friend class BatchNorm2d;  // which may be folded into it
  Var forward(const Var& x) override { return conv2d(x, weight_, bias_ ? *bias_ : Var(), g_); }
  Conv2dGeometry g_;
  Var& weight_;
  Var* bias_ = nullptr;
};

/// Weight I x K x K x O, Kaiming normal (relu, PyTorch's fan-in of a transposed weight: O K K).
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, Random& random,
                  Conv2dGeometry geometry = {});

 private:
  friend class BatchNorm2d;
  Var forward(const Var& x) override { return conv_transpose2d(x, weight_, g_); }
  Conv2dGeometry g_;
  Var& weight_;
};

/// Over all axes but the last. Parameters weight (1) and bias (0); buffers running_mean,
/// running_var, num_batches_tracked.
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels, double momentum = 0.1, double eps = 1e-5);

  using Module::operator();
  /// Fused with what follows it: relu?(norm(x) + residual?).
  Var operator()(const Var& x, const Var& residual, bool relu);
  /// The same of conv(x). In evaluation by running moments, where no tape is built, the norm is
  /// folded into the convolution: one pass over the image instead of two.
  Var after(Conv2d& conv, const Var& x, const Var& residual, bool relu);
  Var after(ConvTranspose2d& conv, const Var& x, bool relu);

  /// Normalise by the moments of the input itself in evaluation mode too, not by the running ones:
  /// what a network trained on one image at a time has always seen.
  bool own_moments = false;
  /// Until the next input, whose moments become the running ones, by which it is normalised then.
  bool take_moments = false;

 private:
  Var forward(const Var& x) override { return run(x, {}, false); }
  Var run(const Var& x, const Var& residual, bool relu);
  bool foldable() const { return !training() && !own_moments && !take_moments && NoGrad::active(); }
  double momentum_, eps_;
  Var &weight_, &bias_;
  Tensor &running_mean_, &running_var_, &batches_;
};

class Relu : public Module {
  Var forward(const Var& x) override { return relu(x); }
};

/// x W' + b: weight O x I (Kaiming normal, fan-in), bias O.
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, Random& random);

 private:
  Var forward(const Var& x) override { return add(matmul(x, weight_, false, true), bias_); }
  Var &weight_, &bias_;
};

/// Modules in a row, named 0, 1, 2, ...
class Sequential : public Module {
 public:
  template <class M, class... Args>
  M& append(Args&&... args) {
    M& m = child<M>(std::to_string(row_.size()), std::forward<Args>(args)...);
    row_.push_back(&m);
    return m;
  }

 private:
  Var forward(const Var& x) override {
    Var y = x;
    for (Module* m : row_) y = (*m)(y);
    return y;
  }
  std::vector<Module*> row_;
};

/// Normal with deviation sqrt(2 / fan) (He et al., 2015); zeros while a SkipInit lives.
Tensor kaiming_normal(const Shape& shape, int64_t fan, Random& random);

/// While one lives, layers made on this thread draw no weights: a file will bring them.
struct SkipInit {
  SkipInit();
  ~SkipInit();
  SkipInit(const SkipInit&) = delete;
  SkipInit& operator=(const SkipInit&) = delete;
};

}  // namespace cairn::nn

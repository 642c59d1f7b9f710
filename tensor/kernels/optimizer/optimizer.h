// Update rules of the optimisers: one pass over parameter, gradient and state, in place.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// PyTorch's SGD.  g += weight_decay p;  v = first ? g : momentum v + (1 - dampening) g;
/// p -= lr (nesterov ? g + momentum v : v).  Without momentum, v is not touched and may be
/// undefined.
struct SgdRule {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, first;
};
void sgd_(Tensor& p, const Tensor& grad, Tensor& v, const SgdRule& rule);

/// Adam (Kingma and Ba, 2015), or AdamW (Loshchilov and Hutter, 2019) when `decoupled`, at step
/// t = 1, 2, ...  decoupled: p *= 1 - lr weight_decay, else g += weight_decay p;
/// m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
/// p -= lr / (1-b1^t) m / (sqrt(v) / sqrt(1-b2^t) + eps).
struct AdamRule {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
  int64_t step;
};
void adam_(Tensor& p, const Tensor& grad, Tensor& m, Tensor& v, const AdamRule& rule);

}  // namespace cairn::kernels

// Update rules of the optimisers: one pass over parameters, gradients and state, in place; on the
// GPU one launch for all of them.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace cairn::kernels {

/// One parameter's part in an update. Tensors are handles: what they refer to changes.
struct UpdateItem {
  Tensor p, grad;
  Tensor moments[2];  ///< SGD: v, if there is momentum; Adam: m, v
  int64_t step;       ///< of this parameter, counted from 1
};

// `scale`, one f64 element on the parameters' device, multiplies every gradient (undefined: 1).
// When it is not finite, nothing changes: a step that failed need not be found out before.

/// PyTorch's SGD.  g += weight_decay p;  v = step 1 ? g : momentum v + (1 - dampening) g;
/// p -= lr (nesterov ? g + momentum v : v).  Without momentum, v is not touched.
struct SgdRule {
  double lr, momentum, dampening, weight_decay;
  bool nesterov;
};
void sgd_(std::span<UpdateItem> items, const SgdRule& rule, const Tensor& scale = {});

/// Adam (Kingma and Ba, 2015), or AdamW (Loshchilov and Hutter, 2019) when `decoupled`, at step
/// t = 1, 2, ...  decoupled: p *= 1 - lr weight_decay, else g += weight_decay p;
/// m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
/// p -= lr / (1-b1^t) m / (sqrt(v) / sqrt(1-b2^t) + eps).
struct AdamRule {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
};
void adam_(std::span<UpdateItem> items, const AdamRule& rule, const Tensor& scale = {});

namespace cuda {
void sgd_(std::span<UpdateItem> items, const SgdRule& rule, const Tensor& scale);
void adam_(std::span<UpdateItem> items, const AdamRule& rule, const Tensor& scale);
}  // namespace cuda

}  // namespace cairn::kernels

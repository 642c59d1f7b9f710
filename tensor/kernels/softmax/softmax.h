// Softmax over the last axis, computed from x - max(x).
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

Tensor softmax(const Tensor& x);
Tensor softmax_backward(const Tensor& y, const Tensor& dy);  ///< y (dy - sum dy y)
Tensor log_softmax(const Tensor& x);
Tensor log_softmax_backward(const Tensor& y, const Tensor& dy);  ///< dy - exp(y) sum dy

// On the GPU; operands are checked by the functions above.
namespace cuda {
Tensor softmax(const Tensor& x);
Tensor softmax_backward(const Tensor& y, const Tensor& dy);
Tensor log_softmax(const Tensor& x);
Tensor log_softmax_backward(const Tensor& y, const Tensor& dy);
}  // namespace cuda

namespace reference {
Tensor softmax(const Tensor& x);
Tensor softmax_backward(const Tensor& y, const Tensor& dy);
Tensor log_softmax(const Tensor& x);
Tensor log_softmax_backward(const Tensor& y, const Tensor& dy);
}  // namespace reference

}  // namespace cairn::kernels

// L2 normalisation of each row (the last axis): y = x / (||x|| + eps).
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// y of x's shape; a zero row stays zero.
Tensor l2_normalize(const Tensor& x, double eps);
/// The same in place, on the CPU.
void l2_normalize_(Tensor& x, double eps);
/// With r = ||x|| and s = r + eps:  dx = dy / s - x (x . dy) / (r s^2); for r = 0, dx = dy / eps.
Tensor l2_normalize_backward(const Tensor& x, const Tensor& dy, double eps);

// On the GPU; operands are checked by the functions above.
namespace cuda {
Tensor l2_normalize(const Tensor& x, double eps);
Tensor l2_normalize_backward(const Tensor& x, const Tensor& dy, double eps);
}  // namespace cuda

namespace reference {
Tensor l2_normalize(const Tensor& x, double eps);
Tensor l2_normalize_backward(const Tensor& x, const Tensor& dy, double eps);
}  // namespace reference

}  // namespace cairn::kernels

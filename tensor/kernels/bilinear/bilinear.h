// Bilinear sampling of feature maps at sub-pixel positions.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// Samples x (H x W x C) at K positions (x right, y down; (0,0) is the centre of the top-left
/// pixel), clamped to the border. positions: K x 2 of x's type. Result K x C.
/// Throws ErrorId::shape for an empty image when K > 0.
Tensor bilinear_sample(const Tensor& x, const Tensor& positions);
/// dx of shape `x_shape` (positions are constants). Equal bits at any thread count.
Tensor bilinear_sample_backward(const Tensor& dy, const Tensor& positions, const Shape& x_shape);

// On the GPU; operands are checked by the functions above.
namespace cuda {
Tensor bilinear_sample(const Tensor& x, const Tensor& positions);
Tensor bilinear_sample_backward(const Tensor& dy, const Tensor& positions, const Shape& x_shape);
}  // namespace cuda

namespace reference {
Tensor bilinear_sample(const Tensor& x, const Tensor& positions);
Tensor bilinear_sample_backward(const Tensor& dy, const Tensor& positions, const Shape& x_shape);
}  // namespace reference

}  // namespace cairn::kernels

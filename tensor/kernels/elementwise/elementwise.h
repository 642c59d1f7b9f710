// Element by element: arithmetic with broadcasting, and functions of one tensor.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// The shape that two shapes broadcast to (NumPy's rule: aligned at the last axis, an extent of 1
/// stretches). Throws ErrorId::shape, naming `op`.
Shape broadcast_shape(std::string_view op, const Shape& a, const Shape& b);

/// a op b, broadcast. Both of one float type.
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);

Tensor relu(const Tensor& x);                             ///< max(x, 0); NaN stays NaN
Tensor relu_backward(const Tensor& y, const Tensor& dy);  ///< dy where y > 0, else 0
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor affine(const Tensor& x, double scale, double shift);  ///< scale * x + shift
Tensor clamp(const Tensor& x, double lo, double hi);         ///< NaN stays NaN
/// dy where lo < x < hi, else 0.
Tensor clamp_backward(const Tensor& x, const Tensor& dy, double lo, double hi);

/// y += scale * x, in place; the shapes are equal.
void axpy_(Tensor& y, double scale, const Tensor& x);
/// Row-major index of the first NaN or infinity, or -1.
int64_t first_not_finite(const Tensor& x);

namespace reference {
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor relu(const Tensor& x);
Tensor relu_backward(const Tensor& y, const Tensor& dy);
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor affine(const Tensor& x, double scale, double shift);
Tensor clamp(const Tensor& x, double lo, double hi);
Tensor clamp_backward(const Tensor& x, const Tensor& dy, double lo, double hi);
}  // namespace reference

}  // namespace cairn::kernels

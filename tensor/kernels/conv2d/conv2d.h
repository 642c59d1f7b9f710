// Two-dimensional convolution (cross-correlation, as in every framework) and its two gradients.
//
//   y[n,oh,ow,o] = sum over kh,kw,i of x[n, oh*sh - ph + kh*dh, ow*sw - pw + kw*dw, i] w[o,kh,kw,i]
//
// x is N x H x W x I, w is O x KH x KW x I, y is N x OH x OW x O; pixels outside x are zero.
// Transposed convolution is the data gradient, so it has no kernel of its own.
#pragma once

#include <array>

#include "tensor/tensor.h"

namespace cairn::kernels {

/// Stride, zero padding and dilation per axis (height, width).
struct Conv2dGeometry {
  std::array<int64_t, 2> stride{1, 1}, padding{0, 0}, dilation{1, 1};

  /// Extent of the output along `axis` (0: height, 1: width), 0 if the kernel does not fit.
  int64_t output_extent(int axis, int64_t input, int64_t kernel) const {
    const auto a = size_t(axis);
    const int64_t room = input + 2 * padding[a] - dilation[a] * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride[a] + 1;
  }
};

/// What is added to a convolution's result before it is written, in this order.
struct Epilogue {
  Tensor bias;      ///< O values, or undefined
  Tensor residual;  ///< of y's shape, or undefined
  bool relu = false;
};

/// The shape of y; throws ErrorId::shape as conv2d() does.
Shape conv2d_shape(const Shape& x, const Shape& w, const Conv2dGeometry& g);
/// y as above, plus the epilogue. Throws ErrorId::shape (channel mismatch, empty kernel, stride or
/// dilation < 1), ErrorId::dtype.
Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& e = {});
/// dx of shape `x_shape` from dy (y's shape) and w, plus the epilogue (its bias of I values): also
/// a transposed convolution with what follows it.
Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Shape& x_shape, const Epilogue& e = {});
/// dw of shape `w_shape` from x and dy, in f32 if they are bf16. Equal bits at any thread count.
Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Conv2dGeometry& g,
                          const Shape& w_shape);

namespace reference {
Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& e = {});
Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Shape& x_shape);
Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Conv2dGeometry& g,
                          const Shape& w_shape);
}  // namespace reference

}  // namespace cairn::kernels

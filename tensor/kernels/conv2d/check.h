// What conv2d, its gradients and their references ask of their operands.
#pragma once

#include "tensor/kernels/conv2d/conv2d.h"

namespace cairn::kernels {

/// Extents of one convolution, all named once.
struct Conv2dExtents {
  int64_t n, h, w, i;  ///< x
  int64_t o, kh, kw;   ///< weight, with i
  int64_t oh, ow;      ///< y, with n and o

  Shape y() const { return {n, oh, ow, o}; }
};

/// Throws ErrorId::shape unless the shapes and the geometry make a convolution.
Conv2dExtents check_conv2d(std::string_view op, const Shape& x, const Shape& w,
                           const Conv2dGeometry& g);
/// What is added to a result of shape `y`, of x's element type.
void check_epilogue(std::string_view op, const Tensor& x, const Epilogue& e, const Shape& y);
/// Throws ErrorId::shape unless dy has the shape of the convolution's result.
void check_dy(std::string_view op, const Shape& dy, const Conv2dExtents& c);

// On the GPU; operands are checked by the public functions.
namespace cuda {
Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& epilogue,
              const Conv2dExtents& e);
Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Conv2dExtents& e);
Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Conv2dGeometry& g,
                          const Conv2dExtents& e);
}  // namespace cuda

}  // namespace cairn::kernels

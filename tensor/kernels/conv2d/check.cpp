#include "tensor/kernels/conv2d/check.h"

namespace cairn::kernels {

Conv2dExtents check_conv2d(std::string_view op, const Shape& x, const Shape& w,
                           const Conv2dGeometry& g) {
  require(x.rank() == 4, ErrorId::shape, op, "the input is ", x, ", not N x H x W x C");
  require(w.rank() == 4, ErrorId::shape, op, "the weight is ", w, ", not O x KH x KW x I");
  require(x[3] == w[3], ErrorId::shape, op, "the input has ", x[3],
          " channels, but the weight expects ", w[3], " (weight ", w, ")");
  require(w[1] > 0 && w[2] > 0, ErrorId::shape, op, "the kernel is empty (weight ", w, ")");
  for (size_t a : {0, 1}) {
    require(g.stride[a] >= 1, ErrorId::shape, op, "the stride is ", g.stride[a], ", not 1 or more");
    require(g.dilation[a] >= 1, ErrorId::shape, op, "the dilation is ", g.dilation[a],
            ", not 1 or more");
    require(g.padding[a] >= 0, ErrorId::shape, op, "the padding is ", g.padding[a],
            ", not 0 or more");
  }
  return {x[0],
          x[1],
          x[2],
          x[3],
          w[0],
          w[1],
          w[2],
          g.output_extent(0, x[1], w[1]),
          g.output_extent(1, x[2], w[2])};
}

void check_epilogue(std::string_view op, const Tensor& x, const Epilogue& e, const Shape& y) {
  if (e.bias.defined()) {
    require_same_dtype(op, x, e.bias);
    require(e.bias.shape() == Shape{y[3]}, ErrorId::shape, op, "the bias is ", e.bias.shape(),
            ", but there are ", y[3], " output channels");
  }
  if (e.residual.defined()) {
    require_same_dtype(op, x, e.residual);
    require(e.residual.shape() == y, ErrorId::shape, op, "the residual is ", e.residual.shape(),
            ", but the result is ", y);
  }
}

void check_dy(std::string_view op, const Shape& dy, const Conv2dExtents& c) {
  require(dy == c.y(), ErrorId::shape, op, "the gradient is ", dy,
          ", but the convolution's result is ", c.y());
}

}  // namespace cairn::kernels

#include "tensor/kernels/conv2d/conv2d.h"

#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/conv2d/prepared.h"
#include "tensor/kernels/conv2d/winograd.h"
#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn::kernels {
namespace {

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

template <class T>
ImageEpilogue<T> epilogue_of(const Epilogue& e, const Image<T>& y) {
  Image<const T> residual{data_or_null<T>(e.residual), y.channels, y.pixel, y.row, y.image};
  return {data_or_null<T>(e.bias), residual, e.relu};
}

}  // namespace

Shape conv2d_shape(const Shape& x, const Shape& w, const Conv2dGeometry& g) {
  return check_conv2d("conv2d", x, w, g).y();
}

Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& e) {
  require_same_dtype("conv2d", x, w);
  const Conv2dExtents c = check_conv2d("conv2d", x.shape(), w.shape(), g);
  check_epilogue("conv2d", x, e, c.y());
  if (x.on_gpu()) return cuda::conv2d(x, w, g, e, c);
  Tensor y = Tensor::empty(c.y(), x.dtype());
  dispatch_float(x.dtype(), "conv2d", [&]<class T>() {
    const Image<const T> from = dense(x.data<T>(), c.h, c.w, c.i);
    const Image<T> to = dense(y.data<T>(), c.oh, c.ow, c.o);
    PreparedConv<T>::forward(c, g, w.data<T>()).run({&from, 1}, to, epilogue_of(e, to), 0, c.oh);
  });
  return y;
}

Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Shape& x_shape, const Epilogue& e) {
  require_same_dtype("conv2d_data_grad", dy, w);
  const Conv2dExtents c = check_conv2d("conv2d_data_grad", x_shape, w.shape(), g);
  check_dy("conv2d_data_grad", dy.shape(), c);
  check_epilogue("conv2d_data_grad", dy, e, x_shape);
  if (dy.on_gpu()) {
    Tensor dx = cuda::conv2d_data_grad(dy, w, g, c);
    if (e.bias.defined()) dx = add(dx, e.bias);
    if (e.residual.defined()) dx = add(dx, e.residual);
    return e.relu ? relu(dx) : dx;
  }
  Tensor dx = Tensor::empty(x_shape, dy.dtype());
  dispatch_float(dy.dtype(), "conv2d_data_grad", [&]<class T>() {
    const Image<const T> from = dense(dy.data<T>(), c.oh, c.ow, c.o);
    const Image<T> to = dense(dx.data<T>(), c.h, c.w, c.i);
    PreparedConv<T>::transposed(c, g, w.data<T>()).run({&from, 1}, to, epilogue_of(e, to), 0, c.h);
  });
  return dx;
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Conv2dGeometry& g,
                          const Shape& w_shape) {
  require_same_dtype("conv2d_weight_grad", x, dy);
  const Conv2dExtents c = check_conv2d("conv2d_weight_grad", x.shape(), w_shape, g);
  check_dy("conv2d_weight_grad", dy.shape(), c);
  if (x.on_gpu()) return cuda::conv2d_weight_grad(x, dy, g, c);
  Tensor dw = Tensor::empty(w_shape, x.dtype());
  dispatch_float(x.dtype(), "conv2d_weight_grad", [&]<class T>() {
    Windows<T> windows = forward_windows<T>(c, g);
    windows.sources = {dense(x.data<T>(), c.h, c.w, c.i)};
    leave_out_unseen(windows);
    join_rows(windows);
    const ConvAlgorithm algorithm = algorithm_for(windows, c.i, c.o);
    if (algorithm == ConvAlgorithm::direct)
      correlate_weights(windows, dy.data<T>(), c.o, dw.data<T>(), forward_matrices(c));
    else
      winograd_weights(algorithm, windows, dy.data<T>(), c.o, dw.data<T>(), forward_matrices(c));
  });
  return dw;
}

}  // namespace cairn::kernels

#include "tensor/kernels/conv2d/check.h"

namespace cairn::kernels::reference {
namespace {

/// Calls f(x index, w index, y index) once for every product of the convolution.
template <class F>
void for_each_product(const Conv2dExtents& c, const Conv2dGeometry& g, F&& f) {
  for (int64_t n = 0; n < c.n; ++n)
    for (int64_t oh = 0; oh < c.oh; ++oh)
      for (int64_t ow = 0; ow < c.ow; ++ow)
        for (int64_t o = 0; o < c.o; ++o)
          for (int64_t kh = 0; kh < c.kh; ++kh)
            for (int64_t kw = 0; kw < c.kw; ++kw) {
              const int64_t h = oh * g.stride[0] - g.padding[0] + kh * g.dilation[0];
              const int64_t w = ow * g.stride[1] - g.padding[1] + kw * g.dilation[1];
              if (h < 0 || h >= c.h || w < 0 || w >= c.w) continue;
              for (int64_t i = 0; i < c.i; ++i)
                f(((n * c.h + h) * c.w + w) * c.i + i, ((o * c.kh + kh) * c.kw + kw) * c.i + i,
                  ((n * c.oh + oh) * c.ow + ow) * c.o + o);
            }
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& e) {
  require_same_dtype("conv2d", x, w);
  const Conv2dExtents c = check_conv2d("conv2d", x.shape(), w.shape(), g);
  check_epilogue("conv2d", x, e, c.y());
  return dispatch_float(x.dtype(), "conv2d", [&]<class T>() {
    Tensor sum = Tensor::zeros(c.y(), DType::f64);
    const auto xv = x.span<T>(), wv = w.span<T>();
    const auto yv = sum.span<double>();
    for_each_product(c, g, [&](int64_t xi, int64_t wi, int64_t yi) {
      yv[size_t(yi)] += double(xv[size_t(xi)]) * double(wv[size_t(wi)]);
    });
    for (size_t i = 0; i < yv.size(); ++i) {
      if (e.bias.defined()) yv[i] += double(e.bias.data<T>()[int64_t(i) % c.o]);
      if (e.residual.defined()) yv[i] += double(e.residual.data<T>()[i]);
      if (e.relu && yv[i] < 0) yv[i] = 0;
    }
    return sum.to(x.dtype());
  });
}

Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Shape& x_shape) {
  require_same_dtype("conv2d_data_grad", dy, w);
  const Conv2dExtents c = check_conv2d("conv2d_data_grad", x_shape, w.shape(), g);
  check_dy("conv2d_data_grad", dy.shape(), c);
  return dispatch_float(dy.dtype(), "conv2d_data_grad", [&]<class T>() {
    Tensor dx = Tensor::zeros(x_shape, DType::f64);
    const auto dyv = dy.span<T>(), wv = w.span<T>();
    const auto dxv = dx.span<double>();
    for_each_product(c, g, [&](int64_t xi, int64_t wi, int64_t yi) {
      dxv[size_t(xi)] += double(dyv[size_t(yi)]) * double(wv[size_t(wi)]);
    });
    return dx.to(dy.dtype());
  });
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Conv2dGeometry& g,
                          const Shape& w_shape) {
  require_same_dtype("conv2d_weight_grad", x, dy);
  const Conv2dExtents c = check_conv2d("conv2d_weight_grad", x.shape(), w_shape, g);
  check_dy("conv2d_weight_grad", dy.shape(), c);
  return dispatch_float(x.dtype(), "conv2d_weight_grad", [&]<class T>() {
    Tensor dw = Tensor::zeros(w_shape, DType::f64);
    const auto xv = x.span<T>(), dyv = dy.span<T>();
    const auto dwv = dw.span<double>();
    for_each_product(c, g, [&](int64_t xi, int64_t wi, int64_t yi) {
      dwv[size_t(wi)] += double(xv[size_t(xi)]) * double(dyv[size_t(yi)]);
    });
    return dw.to(x.dtype());
  });
}

}  // namespace cairn::kernels::reference

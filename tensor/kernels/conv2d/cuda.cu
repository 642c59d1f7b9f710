// Convolution on the GPU: cuDNN where it is there and takes the problem, else the own kernels,
// which are implicit matrix products: the windows of the image are a matrix that is never written.
#include "tensor/cuda/cublaslt.h"
#include "tensor/cuda/cudnn.h"
#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/tile.cuh"

namespace cairn::kernels::cuda {
namespace {

using cairn::cuda::compute_t;
using cairn::cuda::ConvKind;

/// One convolution's numbers, in the form that kernels take.
struct Conv {
  Conv2dExtents e;
  int64_t sh, sw, ph, pw, dh, dw;
  Conv(const Conv2dExtents& extents, const Conv2dGeometry& g)
      : e(extents),
        sh(g.stride[0]),
        sw(g.stride[1]),
        ph(g.padding[0]),
        pw(g.padding[1]),
        dh(g.dilation[0]),
        dw(g.dilation[1]) {}
};

/// Element (pixel of y, tap and channel) of the matrix of windows.
template <class S>
struct WindowMatrix {
  Conv c;
  const S* x;
  __device__ compute_t<S> operator()(int64_t pixel, int64_t k) const {
    const int64_t i = k % c.e.i, kw = k / c.e.i % c.e.kw, kh = k / c.e.i / c.e.kw;
    const int64_t ow = pixel % c.e.ow, oh = pixel / c.e.ow % c.e.oh, n = pixel / c.e.ow / c.e.oh;
    const int64_t h = oh * c.sh - c.ph + kh * c.dh, w = ow * c.sw - c.pw + kw * c.dw;
    if (h < 0 || h >= c.e.h || w < 0 || w >= c.e.w) return 0;
    return compute_t<S>(x[((n * c.e.h + h) * c.e.w + w) * c.e.i + i]);
  }
};

/// Element (pixel of x, tap and output channel) of the gradients that reach the pixel.
template <class S>
struct ReachMatrix {
  Conv c;
  const S* dy;
  __device__ compute_t<S> operator()(int64_t pixel, int64_t k) const {
    const int64_t o = k % c.e.o, kw = k / c.e.o % c.e.kw, kh = k / c.e.o / c.e.kw;
    const int64_t w = pixel % c.e.w, h = pixel / c.e.w % c.e.h, n = pixel / c.e.w / c.e.h;
    const int64_t down = h + c.ph - kh * c.dh, across = w + c.pw - kw * c.dw;
    if (down < 0 || across < 0 || down % c.sh || across % c.sw) return 0;
    const int64_t oh = down / c.sh, ow = across / c.sw;
    if (oh >= c.e.oh || ow >= c.e.ow) return 0;
    return compute_t<S>(dy[((n * c.e.oh + oh) * c.e.ow + ow) * c.e.o + o]);
  }
};

/// The weight as a matrix of (tap and input channel) x (output channel), or, for the data gradient,
/// of (tap and output channel) x (input channel).
template <class S>
struct WeightMatrix {
  Conv c;
  const S* w;
  bool for_data;
  __device__ compute_t<S> operator()(int64_t k, int64_t n) const {
    const int64_t taps = c.e.kh * c.e.kw;
    if (!for_data) return compute_t<S>(w[n * taps * c.e.i + k]);
    return compute_t<S>(w[(k % c.e.o * taps + k / c.e.o) * c.e.i + n]);
  }
};

/// Element (output channel, pixel of y) of dy.
template <class S>
struct GradMatrix {
  Conv c;
  const S* dy;
  __device__ compute_t<S> operator()(int64_t o, int64_t pixel) const {
    return compute_t<S>(dy[pixel * c.e.o + o]);
  }
};

template <class S>
struct WithEpilogue {
  S* y;
  int64_t channels;
  const S *bias, *residual;
  bool relu;
  template <class C>
  __device__ void operator()(int64_t pixel, int64_t o, int64_t, C value) const {
    if (bias) value += C(bias[o]);
    if (residual) value += C(residual[pixel * channels + o]);
    y[pixel * channels + o] = S(relu && value < 0 ? C(0) : value);
  }
};

const void* raw_or_null(const Tensor& t) { return t.defined() ? t.device_raw() : nullptr; }
template <class S>
const S* data_or_null(const Tensor& t) {
  return t.defined() ? t.device_data<S>() : nullptr;
}

/// Whether it is a matrix product of pixels and channels, which cuBLASLt does without the copies
/// into other layouts that cuDNN makes for it.
bool is_product(const Conv2dExtents& e, const Conv2dGeometry& g) {
  return e.kh * e.kw == 1 && g.stride == std::array<int64_t, 2>{1, 1} &&
         g.padding == std::array<int64_t, 2>{0, 0};
}

/// op(A) op(B) by cuBLASLt, as cairn::cuda::multiply().
bool multiply(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b, Tensor& c,
              const Tensor& a, const Tensor& b, const Tensor& bias = {}) {
  return cairn::cuda::multiply({.type = a.dtype(),
                                .math = cairn::cuda::math(),
                                .m = m,
                                .n = n,
                                .k = k,
                                .transpose_a = transpose_a,
                                .transpose_b = transpose_b,
                                .bias = bias.defined(),
                                .sum_type = c.dtype() != a.dtype()},
                               c.device_raw(), a.device_raw(), b.device_raw(), raw_or_null(bias));
}

cairn::cuda::ConvProblem problem(ConvKind kind, DType type, const Conv2dExtents& e,
                                 const Conv2dGeometry& g) {
  return {.kind = kind, .type = type, .math = cairn::cuda::math(), .extents = e, .geometry = g};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& epilogue,
              const Conv2dExtents& e) {
  Tensor y = Tensor::empty(e.y(), x.dtype(), Device::cuda);
  const int64_t pixels = e.n * e.oh * e.ow;
  if (is_product(e, g) && !epilogue.residual.defined() && !epilogue.relu &&
      multiply(pixels, e.o, e.i, false, true, y, x, w, epilogue.bias))
    return y;
  auto p = problem(ConvKind::forward, x.dtype(), e, g);
  p.bias = epilogue.bias.defined();
  p.residual = epilogue.residual.defined();
  p.relu = epilogue.relu;
  if (cairn::cuda::convolve(p, y.device_raw(), x.device_raw(), w.device_raw(),
                            raw_or_null(epilogue.bias), raw_or_null(epilogue.residual)))
    return y;
  if (p.fused()) {  // or the convolution by cuDNN and the rest after it
    p.bias = p.residual = p.relu = false;
    if (cairn::cuda::convolve(p, y.device_raw(), x.device_raw(), w.device_raw())) {
      if (epilogue.bias.defined()) y = add(y, epilogue.bias);
      if (epilogue.residual.defined()) y = add(y, epilogue.residual);
      return epilogue.relu ? relu(y) : y;
    }
  }
  const Conv c(e, g);
  cairn::cuda::dispatch_device(x.dtype(), "conv2d", [&]<class S>() {
    tile_product<compute_t<S>>(
        "conv2d", pixels, e.o, e.kh * e.kw * e.i, WindowMatrix<S>{c, x.device_data<S>()},
        WeightMatrix<S>{c, w.device_data<S>(), false},
        WithEpilogue<S>{y.device_data<S>(), e.o, data_or_null<S>(epilogue.bias),
                        data_or_null<S>(epilogue.residual), epilogue.relu});
  });
  return y;
}

Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Conv2dExtents& e) {
  Tensor dx = Tensor::empty({e.n, e.h, e.w, e.i}, dy.dtype(), Device::cuda);
  if (is_product(e, g) && multiply(e.n * e.h * e.w, e.i, e.o, false, false, dx, dy, w)) return dx;
  if (cairn::cuda::convolve(problem(ConvKind::data_grad, dy.dtype(), e, g), dx.device_raw(),
                            dy.device_raw(), w.device_raw()))
    return dx;
  const Conv c(e, g);
  cairn::cuda::dispatch_device(dy.dtype(), "conv2d_data_grad", [&]<class S>() {
    tile_product<compute_t<S>>("conv2d_data_grad", e.n * e.h * e.w, e.i, e.kh * e.kw * e.o,
                               ReachMatrix<S>{c, dy.device_data<S>()},
                               WeightMatrix<S>{c, w.device_data<S>(), true},
                               WithEpilogue<S>{dx.device_data<S>(), e.i, nullptr, nullptr, false});
  });
  return dx;
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Conv2dGeometry& g,
                          const Conv2dExtents& e) {
  const Shape shape{e.o, e.kh, e.kw, e.i};
  Tensor dw = Tensor::empty(shape, compute_dtype(x.dtype()), Device::cuda);
  if (is_product(e, g) && multiply(e.o, e.i, e.n * e.h * e.w, true, false, dw, dy, x)) return dw;
  Tensor stored = dw.dtype() == x.dtype() ? dw : Tensor::empty(shape, x.dtype(), Device::cuda);
  if (cairn::cuda::convolve(problem(ConvKind::weight_grad, x.dtype(), e, g), stored.device_raw(),
                            x.device_raw(), dy.device_raw()))
    return stored.to(dw.dtype());  // cuDNN sums bf16 in f32, but has no engine that stores that
  const Conv c(e, g);
  cairn::cuda::dispatch_device(x.dtype(), "conv2d_weight_grad", [&]<class S>() {
    dw = tile_product_of_chunks<compute_t<S>>(
        "conv2d_weight_grad", e.o, e.kh * e.kw * e.i, e.n * e.oh * e.ow,
        GradMatrix<S>{c, dy.device_data<S>()}, WindowMatrix<S>{c, x.device_data<S>()});
  });
  return dw.reshape(shape);
}

}  // namespace cairn::kernels::cuda

#include "tensor/kernels/conv2d/conv2d.h"

#include <algorithm>

#include "tensor/kernels/conv2d/algorithm.h"
#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/conv2d/winograd.h"
#include "tensor/kernels/gemm/implicit.h"
#include "tensor/kernels/gemm/micro_kernel.h"

namespace cairn::kernels {
namespace {

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

/// The windows that the forward pass and the weight gradient look through.
template <class T>
Windows<T> forward_windows(const Tensor& x, const Conv2dExtents& c, const Conv2dGeometry& g) {
  Windows<T> windows;
  windows.x = x.data<T>();
  windows.batch = c.n;
  windows.height = c.h;
  windows.width = c.w;
  windows.channels = windows.pixel_stride = c.i;
  windows.step = g.stride;
  windows.tap = {};
  for (int64_t k = 0; k < c.kh; ++k) windows.tap[0].push_back(k * g.dilation[0] - g.padding[0]);
  for (int64_t k = 0; k < c.kw; ++k) windows.tap[1].push_back(k * g.dilation[1] - g.padding[1]);
  windows.rows = c.oh;
  windows.columns = c.ow;
  if (c.kh * c.kw == 1 && windows.tap[0][0] == 0 && windows.tap[1][0] == 0 && c.oh == c.h &&
      c.ow == c.w) {  // every pixel by itself: one long row needs no borders
    windows.width = windows.columns = c.n * c.h * c.w;
    windows.batch = windows.height = windows.rows = 1;
    windows.step = {1, 1};
  }
  return windows;
}

TapMatrices forward_matrices(const Conv2dExtents& c) {
  TapMatrices m{{}, 1, c.kh * c.kw * c.i};
  for (int64_t k = 0; k < c.kh * c.kw; ++k) m.tap.push_back(k * c.i);
  return m;
}

/// Pixels of x that are `phase` apart from a multiple of the stride see these taps of dy only:
/// pixel phase + t * stride sees dy[t + offset] times the weight's row `index`.
struct Phase {
  int64_t phase, count;
  std::vector<int64_t> offset, index;
};

std::vector<Phase> phases(size_t axis, int64_t extent, int64_t kernel, const Conv2dGeometry& g) {
  std::vector<Phase> result;
  const int64_t stride = g.stride[axis];
  for (int64_t p = 0; p < std::min(stride, extent); ++p) {
    Phase phase{p, (extent - p + stride - 1) / stride, {}, {}};
    for (int64_t k = kernel - 1; k >= 0; --k) {  // backwards, so that the offsets rise
      const int64_t distance = p + g.padding[axis] - k * g.dilation[axis];
      if (distance % stride) continue;
      phase.offset.push_back(distance / stride);
      phase.index.push_back(k);
    }
    result.push_back(std::move(phase));
  }
  return result;
}

template <class T>
ConvAlgorithm algorithm_for(const Windows<T>& x, int64_t outputs) {
  if (!is_3x3(x) || x.batch * x.rows * x.columns * x.channels * outputs == 0)
    return ConvAlgorithm::direct;
  const ConvAlgorithm wanted = conv_algorithm();
  if (wanted != ConvAlgorithm::automatic) return wanted;
  return cheapest({x.batch, x.rows, x.columns, x.channels, outputs, micro_kernel<T>().lanes});
}
int64_t tile_size(ConvAlgorithm winograd) { return winograd == ConvAlgorithm::winograd2 ? 2 : 4; }

/// correlate(), or a faster way to the same.
template <class T>
void convolve(const Windows<T>& x, const T* w, const TapMatrices& matrices, int64_t outputs,
              const Pixels<T>& y) {
  const ConvAlgorithm algorithm = algorithm_for(x, outputs);
  if (algorithm == ConvAlgorithm::direct) return correlate(x, w, matrices, outputs, y);
  winograd(tile_size(algorithm), x, w, matrices, outputs, y);
}

/// The same for correlate_weights().
template <class T>
void convolve_weights(const Windows<T>& x, const T* dy, int64_t outputs, T* dw,
                      const TapMatrices& matrices) {
  const ConvAlgorithm algorithm = algorithm_for(x, outputs);
  if (algorithm == ConvAlgorithm::direct) return correlate_weights(x, dy, outputs, dw, matrices);
  winograd_weights(tile_size(algorithm), x, dy, outputs, dw, matrices);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dGeometry& g, const Epilogue& e) {
  require_same_dtype("conv2d", x, w);
  const Conv2dExtents c = check_conv2d("conv2d", x.shape(), w.shape(), g);
  check_epilogue(x, e, c);
  if (x.on_gpu()) return cuda::conv2d(x, w, g, e, c);
  Tensor y = Tensor::empty(c.y(), x.dtype());
  dispatch_float(x.dtype(), "conv2d", [&]<class T>() {
    const Pixels<T> out{y.data<T>(), c.oh * c.ow * c.o,       c.ow * c.o,
                        c.o,         data_or_null<T>(e.bias), data_or_null<T>(e.residual),
                        e.relu};
    convolve(forward_windows<T>(x, c, g), w.data<T>(), forward_matrices(c), c.o, out);
  });
  return y;
}

Tensor conv2d_data_grad(const Tensor& dy, const Tensor& w, const Conv2dGeometry& g,
                        const Shape& x_shape) {
  require_same_dtype("conv2d_data_grad", dy, w);
  const Conv2dExtents c = check_conv2d("conv2d_data_grad", x_shape, w.shape(), g);
  check_dy("conv2d_data_grad", dy.shape(), c);
  if (dy.on_gpu()) return cuda::conv2d_data_grad(dy, w, g, c);
  Tensor dx = Tensor::empty(x_shape, dy.dtype());
  dispatch_float(dy.dtype(), "conv2d_data_grad", [&]<class T>() {
    for (const Phase& down : phases(0, c.h, c.kh, g)) {
      for (const Phase& across : phases(1, c.w, c.kw, g)) {
        Windows<T> windows;
        windows.x = dy.data<T>();
        windows.batch = c.n;
        windows.height = c.oh;
        windows.width = c.ow;
        windows.channels = windows.pixel_stride = c.o;
        windows.tap = {down.offset, across.offset};
        windows.rows = down.count;
        windows.columns = across.count;
        TapMatrices matrices{{}, c.kh * c.kw * c.i, 1};
        for (int64_t j : down.index)
          for (int64_t k : across.index) matrices.tap.push_back((j * c.kw + k) * c.i);
        Pixels<T> out;
        out.y = dx.data<T>() + (down.phase * c.w + across.phase) * c.i;
        out.image = c.h * c.w * c.i;
        out.row = g.stride[0] * c.w * c.i;
        out.pixel = g.stride[1] * c.i;
        convolve(windows, w.data<T>(), matrices, c.i, out);
      }
    }
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
    convolve_weights(forward_windows<T>(x, c, g), dy.data<T>(), c.o, dw.data<T>(),
                     forward_matrices(c));
  });
  return dw;
}

}  // namespace cairn::kernels

// L2 normalisation on the GPU: a few neighbouring threads share a row, each taking 16 bytes at a
// time where the row's length allows it.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

// `width` elements at a time: as many as 16 bytes of S hold, or one.

template <int width, class S, class C = compute_t<S>>
__global__ void l2_normalize_kernel(int64_t rows, int64_t c, int lanes, const S* x, C eps, C* y) {
  const int64_t row = thread_number() / lanes;
  const int64_t first = thread_number() % lanes * width, step = int64_t(lanes) * width;
  C squares = 0;
  if (row < rows)
    for (int64_t j = first; j < c; j += step) {
      const auto v = load<width>(x + row * c + j);
      for (int k = 0; k < width; ++k) squares = std::fma(C(v.at[k]), C(v.at[k]), squares);
    }
  const C r = std::sqrt(group_sum(squares, lanes));
  if (row >= rows) return;
  const C scale = r == 0 ? C(0) : 1 / (r + eps);
  for (int64_t j = first; j < c; j += step) {
    const auto v = load<width>(x + row * c + j);
    Few<C, width> out;
    for (int k = 0; k < width; ++k) out.at[k] = C(v.at[k]) * scale;
    store(y + row * c + j, out);
  }
}

template <int width, class S, class C = compute_t<S>>
__global__ void l2_normalize_backward_kernel(int64_t rows, int64_t c, int lanes, const S* x,
                                             const C* dy, C eps, S* dx) {
  const int64_t row = thread_number() / lanes;
  const int64_t first = thread_number() % lanes * width, step = int64_t(lanes) * width;
  C squares = 0, dot = 0;
  if (row < rows)
    for (int64_t j = first; j < c; j += step) {
      const auto v = load<width>(x + row * c + j);
      const auto g = load<width>(dy + row * c + j);
      for (int k = 0; k < width; ++k) {
        squares = std::fma(C(v.at[k]), C(v.at[k]), squares);
        dot = std::fma(C(v.at[k]), g.at[k], dot);
      }
    }
  const C r = std::sqrt(group_sum(squares, lanes));
  dot = group_sum(dot, lanes);
  if (row >= rows) return;
  const C s = r + eps, scale = 1 / s, along = r == 0 ? C(0) : dot / (r * s * s);
  for (int64_t j = first; j < c; j += step) {
    const auto v = load<width>(x + row * c + j);
    const auto g = load<width>(dy + row * c + j);
    Few<S, width> out;
    for (int k = 0; k < width; ++k) out.at[k] = S(std::fma(-C(v.at[k]), along, g.at[k] * scale));
    store(dx + row * c + j, out);
  }
}

/// Calls f<width>(rows, c, lanes, blocks) for rows of c elements of x.
template <class S, class F>
void by_rows(const Tensor& x, F&& f) {
  const int64_t c = x.dim(-1), rows = c ? x.numel() / c : 0;
  const auto run = [&]<int width>() {
    const int lanes = lanes_for((c + width - 1) / width);
    f.template operator()<width>(rows, c, lanes, blocks_for(rows * lanes, block_threads, 1 << 30));
  };
  if (c % Pack<S>::size == 0)
    run.template operator()<Pack<S>::size>();
  else
    run.template operator()<1>();
}

}  // namespace

Tensor l2_normalize(const Tensor& x, double eps) {
  Tensor y = Tensor::empty(x.shape(), compute_dtype(x.dtype()), Device::cuda);
  dispatch_device(x.dtype(), "l2_normalize", [&]<class S>() {
    using C = compute_t<S>;
    by_rows<S>(x, [&]<int width>(int64_t rows, int64_t c, int lanes, dim3 blocks) {
      launch("l2_normalize", l2_normalize_kernel<width, S>, blocks, block_threads, rows, c, lanes,
             x.device_data<S>(), C(eps), y.device_data<C>());
    });
  });
  return y;
}

Tensor l2_normalize_backward(const Tensor& x, const Tensor& dy, double eps) {
  Tensor dx = Tensor::empty(x.shape(), x.dtype(), Device::cuda);
  dispatch_device(x.dtype(), "l2_normalize_backward", [&]<class S>() {
    using C = compute_t<S>;
    by_rows<S>(x, [&]<int width>(int64_t rows, int64_t c, int lanes, dim3 blocks) {
      launch("l2_normalize_backward", l2_normalize_backward_kernel<width, S>, blocks, block_threads,
             rows, c, lanes, x.device_data<S>(), dy.device_data<C>(), C(eps), dx.device_data<S>());
    });
  });
  return dx;
}

}  // namespace cairn::kernels::cuda

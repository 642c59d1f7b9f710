// Batch normalisation on the GPU. A thread owns a few neighbouring channels (16 bytes of them where
// their number allows it) and walks down rows, so what depends on the channel is read once. Sums
// are made per chunk of rows, chunks are added in double and in a fixed order.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/batch_norm/batch_norm.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

/// How M x C is shared out: blocks of `across` threads over channels, the others over rows.
struct Grid {
  int64_t m, c, rows, chunks;  // rows of a chunk
  int across, width;           // width: channels of a thread
  dim3 blocks;
  int64_t tiles() const { return (c + int64_t(across) * width - 1) / (int64_t(across) * width); }
};

template <class S>
Grid grid_of(const Tensor& x, int64_t most_chunks) {
  Grid g{};
  g.c = x.dim(-1);
  g.m = g.c ? x.numel() / g.c : 0;
  g.width = g.c % Pack<S>::size == 0 ? Pack<S>::size : 1;
  g.across = lanes_for((g.c + g.width - 1) / g.width);
  const int64_t down = block_threads / g.across;
  g.rows = std::max<int64_t>(16 * down, (g.m + most_chunks - 1) / most_chunks);
  g.chunks = (g.m + g.rows - 1) / g.rows;
  g.blocks = dim3(unsigned(g.chunks), unsigned(g.tiles()));
  return g;
}

/// Calls f(element) for each row of this block's chunk that this thread walks; `channel` is
/// its first.
template <class F>
__device__ void for_rows(const Grid& g, int64_t channel, const F& f) {
  const int64_t down = blockDim.x / g.across;
  const int64_t end = (blockIdx.x + 1) * g.rows < g.m ? (blockIdx.x + 1) * g.rows : g.m;
  for (int64_t row = blockIdx.x * g.rows + threadIdx.x / g.across; row < end; row += down)
    f(row * g.c + channel);
}
__device__ inline int64_t first_channel(const Grid& g) {
  return (int64_t(blockIdx.y) * g.across + threadIdx.x % g.across) * g.width;
}

/// Adds s and q over the threads of each channel; parts[chunk] is 2 x C.
template <int width, class C>
__device__ void store_sums(const Grid& g, int64_t channel, const C (&s)[width], const C (&q)[width],
                           C* parts) {
  __shared__ C shared[2][block_threads];
  for (int k = 0; k < width; ++k) {
    __syncthreads();
    shared[0][threadIdx.x] = s[k];
    shared[1][threadIdx.x] = q[k];
    const int row = threadIdx.x / g.across;
    for (int step = blockDim.x / g.across / 2; step > 0; step /= 2) {
      __syncthreads();
      if (row < step)
        for (auto& sums : shared) sums[threadIdx.x] += sums[threadIdx.x + step * g.across];
    }
    if (row == 0 && channel < g.c)
      for (int i = 0; i < 2; ++i)
        parts[(int64_t(blockIdx.x) * 2 + i) * g.c + channel + k] = shared[i][threadIdx.x];
  }
}

/// s = sum (x - shift), q = sum (x - shift)^2; the shift is the chunk's first row, near the mean.
template <int width, class S, class C = compute_t<S>>
__global__ void moments_kernel(Grid g, const S* x, C* parts) {
  const int64_t channel = first_channel(g);
  C s[width] = {}, q[width] = {};
  if (channel < g.c) {
    const auto shift = load<width>(x + blockIdx.x * g.rows * g.c + channel);
    for_rows(g, channel, [&](int64_t at) {
      const auto v = load<width>(x + at);
      for (int k = 0; k < width; ++k) {
        const C off = C(v.at[k]) - C(shift.at[k]);
        s[k] += off;
        q[k] = std::fma(off, off, q[k]);
      }
    });
  }
  store_sums<width>(g, channel, s, q, parts);
}

constexpr int warp = 32;

/// A warp for each channel: moves each chunk's sums to the first chunk's shift and adds them.
template <class S, class C = compute_t<S>>
__global__ void moments_of_parts_kernel(Grid g, const S* x, const C* parts, C eps, C* mean,
                                        C* variance, C* invstd) {
  const int64_t j = thread_number() / warp;
  if (j >= g.c) return;
  const double base = double(C(x[j]));
  double s = 0, q = 0;
  for (int64_t chunk = threadIdx.x % warp; chunk < g.chunks; chunk += warp) {
    const int64_t first = chunk * g.rows;
    const double n = double(first + g.rows < g.m ? g.rows : g.m - first);
    const double off = double(C(x[first * g.c + j])) - base;
    const double cs = double(parts[chunk * 2 * g.c + j]);
    s += cs + n * off;
    q += double(parts[(chunk * 2 + 1) * g.c + j]) + 2 * off * cs + n * off * off;
  }
  s = group_sum(s, warp);
  q = group_sum(q, warp);
  if (threadIdx.x % warp) return;
  const double off = s / double(g.m), v = q / double(g.m) - off * off;
  mean[j] = C(base + off);
  const C biased = C(v < 0 ? 0 : v);  // rounding may go below zero; NaN stays
  variance[j] = biased;
  invstd[j] = C(1 / std::sqrt(double(biased) + double(eps)));
}

template <int width, class S, class C = compute_t<S>>
__global__ void batch_norm_kernel(Grid g, const S* x, const C* gamma, const C* beta, const C* mean,
                                  const C* invstd, const S* residual, bool relu, S* y) {
  const int64_t channel = first_channel(g);
  if (channel >= g.c) return;
  C scale[width], shift[width], center[width];
  for (int k = 0; k < width; ++k) {
    scale[k] = gamma[channel + k] * invstd[channel + k];
    shift[k] = beta[channel + k];
    center[k] = mean[channel + k];
  }
  for_rows(g, channel, [&](int64_t at) {
    const auto v = load<width>(x + at);
    Few<S, width> r{}, out;
    if (residual) r = load<width>(residual + at);
    for (int k = 0; k < width; ++k) {
      C z = std::fma(C(v.at[k]) - center[k], scale[k], shift[k]);
      if (residual) z += C(r.at[k]);
      out.at[k] = S(relu && z < 0 ? C(0) : z);
    }
    store(y + at, out);
  });
}

/// g = dy [y > 0] (dy if y is null), written if `masked` is not null; s = sum g, q = sum g (x -
/// mean).
template <int width, class S, class C = compute_t<S>>
__global__ void backward_sums_kernel(Grid g, const S* dy, const S* y, const S* x, const C* mean,
                                     S* masked, C* parts) {
  const int64_t channel = first_channel(g);
  C s[width] = {}, q[width] = {};
  if (channel < g.c)
    for_rows(g, channel, [&](int64_t at) {
      auto d = load<width>(dy + at);
      const auto v = load<width>(x + at);
      if (y) {
        const auto out = load<width>(y + at);
        for (int k = 0; k < width; ++k)
          if (!(C(out.at[k]) > 0)) d.at[k] = S(C(0));
      }
      if (masked) store(masked + at, d);
      for (int k = 0; k < width; ++k) {
        s[k] += C(d.at[k]);
        q[k] = std::fma(C(d.at[k]), C(v.at[k]) - mean[channel + k], q[k]);
      }
    });
  store_sums<width>(g, channel, s, q, parts);
}

/// A warp for each channel. factors is 3 x C: scale, k1, k2 of backward_kernel.
template <class C>
__global__ void backward_factors_kernel(Grid g, const C* parts, const C* gamma, const C* invstd,
                                        bool batch_statistics, C* dgamma, C* dbeta, C* factors) {
  const int64_t j = thread_number() / warp;
  if (j >= g.c) return;
  double s = 0, q = 0;
  for (int64_t chunk = threadIdx.x % warp; chunk < g.chunks; chunk += warp) {
    s += double(parts[chunk * 2 * g.c + j]);
    q += double(parts[(chunk * 2 + 1) * g.c + j]);
  }
  s = group_sum(s, warp);
  const double inv = double(invstd[j]);
  q = group_sum(q, warp) * inv;
  if (threadIdx.x % warp) return;
  dbeta[j] = C(s);
  dgamma[j] = C(q);
  factors[j] = C(double(gamma[j]) * inv);
  factors[g.c + j] = batch_statistics ? C(s / double(g.m)) : C(0);
  factors[2 * g.c + j] = batch_statistics ? C(q * inv / double(g.m)) : C(0);
}

/// dx = scale (g - k1 - (x - mean) k2)
template <int width, class S, class C = compute_t<S>>
__global__ void backward_kernel(Grid g, const S* dy, const S* y, const S* x, const C* mean,
                                const C* factors, S* dx) {
  const int64_t channel = first_channel(g);
  if (channel >= g.c) return;
  C scale[width], k1[width], k2[width], center[width];
  for (int k = 0; k < width; ++k) {
    scale[k] = factors[channel + k];
    k1[k] = factors[g.c + channel + k];
    k2[k] = factors[2 * g.c + channel + k];
    center[k] = mean[channel + k];
  }
  for_rows(g, channel, [&](int64_t at) {
    const auto d = load<width>(dy + at), v = load<width>(x + at);
    Few<S, width> out{}, result;
    if (y) out = load<width>(y + at);
    for (int k = 0; k < width; ++k) {
      const C passed = y && !(C(out.at[k]) > 0) ? C(0) : C(d.at[k]);
      const C inner = std::fma(-(C(v.at[k]) - center[k]), k2[k], passed - k1[k]);
      result.at[k] = S(scale[k] * inner);
    }
    store(dx + at, result);
  });
}

template <class C>
__global__ void inverse_deviation_kernel(int64_t n, const C* variance, double eps, C* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count())
    y[i] = C(1 / std::sqrt(double(variance[i]) + eps));
}

template <class C>
__global__ void update_running_kernel(int64_t n, const C* mean, const C* variance, C momentum,
                                      C unbiased, C* running_mean, C* running_var) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    running_mean[i] = std::fma(momentum, mean[i] - running_mean[i], running_mean[i]);
    running_var[i] = std::fma(momentum, variance[i] * unbiased - running_var[i], running_var[i]);
  }
}

/// One launch: n weights, then a bias for each of the outputs.
template <class S, class C>
__global__ void fold_kernel(int64_t n, int64_t outputs, const C* weight, const C* gamma,
                            const C* beta, const C* mean, const C* variance, double eps, S* folded,
                            S* bias) {
  for (int64_t i = thread_number(); i < n + outputs; i += thread_count()) {
    const int64_t o = i < n ? i / (n / outputs) : i - n;
    const C scale = gamma[o] * C(1 / std::sqrt(double(variance[o]) + eps));
    if (i < n)
      folded[i] = S(weight[i] * scale);
    else
      bias[o] = S(beta[o] - mean[o] * scale);
  }
}

/// Calls f<S, width>(grid): width is 1 or as many channels as 16 bytes hold.
template <class F>
void by_channels(const char* op, const Tensor& x, int64_t most_chunks, F&& f) {
  dispatch_device(x.dtype(), op, [&]<class S>() {
    const Grid g = grid_of<S>(x, most_chunks);
    if (g.width == 1)
      f.template operator()<S, 1>(g);
    else
      f.template operator()<S, Pack<S>::size>(g);
  });
}

constexpr int64_t sum_chunks = 1024, walk_chunks = 1 << 20;

dim3 warps_for(const Grid& g) { return blocks_for(g.c * warp, block_threads, 1 << 30); }

template <class S>
const S* data_or_null(const Tensor& t) {
  return t.defined() ? t.device_data<S>() : nullptr;
}

}  // namespace

BatchMoments batch_moments(const Tensor& x, double eps) {
  const DType type = compute_dtype(x.dtype());
  const int64_t c = x.dim(-1);
  if (x.numel() == 0) {
    const Tensor none = Tensor::zeros({c}, type, Device::cuda);
    return {none, none.clone(), inverse_deviation(none, eps)};
  }
  BatchMoments m{Tensor::empty({c}, type, Device::cuda), Tensor::empty({c}, type, Device::cuda),
                 Tensor::empty({c}, type, Device::cuda)};
  by_channels("batch_moments", x, sum_chunks, [&]<class S, int width>(const Grid& g) {
    using C = compute_t<S>;
    Tensor parts = Tensor::empty({g.chunks, 2, c}, type, Device::cuda);
    launch("batch_moments", moments_kernel<width, S>, g.blocks, block_threads, g,
           x.device_data<S>(), parts.device_data<C>());
    launch("batch_moments", moments_of_parts_kernel<S>, warps_for(g), block_threads, g,
           x.device_data<S>(), parts.device_data<C>(), C(eps), m.mean.device_data<C>(),
           m.variance.device_data<C>(), m.invstd.device_data<C>());
  });
  return m;
}

Tensor inverse_deviation(const Tensor& variance, double eps) {
  Tensor y = Tensor::empty(variance.shape(), variance.dtype(), Device::cuda);
  dispatch_float(y.dtype(), "inverse_deviation", [&]<class C>() {
    launch("inverse_deviation", inverse_deviation_kernel<C>, blocks_for(y.numel()), block_threads,
           y.numel(), variance.device_data<C>(), eps, y.device_data<C>());
  });
  return y;
}

void update_running_(Tensor& running_mean, Tensor& running_var, const BatchMoments& m,
                     double momentum, double unbiased) {
  dispatch_float(running_mean.dtype(), "update_running_", [&]<class C>() {
    launch("update_running_", update_running_kernel<C>, blocks_for(running_mean.numel()),
           block_threads, running_mean.numel(), m.mean.device_data<C>(),
           m.variance.device_data<C>(), C(momentum), C(unbiased), running_mean.device_data<C>(),
           running_var.device_data<C>());
  });
}

FoldedNorm fold_batch_norm(const Tensor& weight, const Tensor& gamma, const Tensor& beta,
                           const Tensor& mean, const Tensor& variance, double eps, DType type) {
  const int64_t n = weight.numel(), outputs = weight.dim(0);
  FoldedNorm f{Tensor::empty(weight.shape(), type, Device::cuda),
               Tensor::empty({outputs}, type, Device::cuda)};
  dispatch_float(weight.dtype(), "fold_batch_norm", [&]<class C>() {
    dispatch_device(type, "fold_batch_norm", [&]<class S>() {
      launch("fold_batch_norm", fold_kernel<S, C>, blocks_for(n + outputs), block_threads, n,
             outputs, weight.device_data<C>(), gamma.device_data<C>(), beta.device_data<C>(),
             mean.device_data<C>(), variance.device_data<C>(), eps, f.weight.device_data<S>(),
             f.bias.device_data<S>());
    });
  });
  return f;
}

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                  const Tensor& invstd, const Tensor& residual, bool relu) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), Device::cuda);
  by_channels("batch_norm", x, walk_chunks, [&]<class S, int width>(const Grid& g) {
    using C = compute_t<S>;
    launch("batch_norm", batch_norm_kernel<width, S>, g.blocks, block_threads, g,
           x.device_data<S>(), gamma.device_data<C>(), beta.device_data<C>(), mean.device_data<C>(),
           invstd.device_data<C>(), data_or_null<S>(residual), relu, y.device_data<S>());
  });
  return y;
}

BatchNormGrads batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& y,
                                   const Tensor& gamma, const Tensor& mean, const Tensor& invstd,
                                   bool relu, bool batch_statistics, bool want_residual) {
  const char* op = "batch_norm_backward";
  const DType type = compute_dtype(x.dtype());
  const int64_t c = x.dim(-1);
  BatchNormGrads grads{Tensor::empty(x.shape(), x.dtype(), Device::cuda),
                       Tensor::zeros({c}, type, Device::cuda),
                       Tensor::zeros({c}, type, Device::cuda),
                       {}};
  // Without a ReLU g is dy itself; with one, it is written on the way if somebody wants it.
  if (want_residual)
    grads.dresidual = relu ? Tensor::empty(x.shape(), x.dtype(), Device::cuda) : dy;
  if (x.numel() == 0) return grads;
  Tensor factors = Tensor::empty({3, c}, type, Device::cuda);
  const bool keep = relu && want_residual;
  by_channels(op, x, sum_chunks, [&]<class S, int width>(const Grid& g) {
    using C = compute_t<S>;
    Tensor parts = Tensor::empty({g.chunks, 2, c}, type, Device::cuda);
    launch(op, backward_sums_kernel<width, S>, g.blocks, block_threads, g, dy.device_data<S>(),
           relu ? y.device_data<S>() : nullptr, x.device_data<S>(), mean.device_data<C>(),
           keep ? grads.dresidual.device_data<S>() : nullptr, parts.device_data<C>());
    launch(op, backward_factors_kernel<C>, warps_for(g), block_threads, g, parts.device_data<C>(),
           gamma.device_data<C>(), invstd.device_data<C>(), batch_statistics,
           grads.dgamma.device_data<C>(), grads.dbeta.device_data<C>(), factors.device_data<C>());
  });
  by_channels(op, x, walk_chunks, [&]<class S, int width>(const Grid& g) {
    using C = compute_t<S>;
    // g, if it was written, spares reading y.
    launch(op, backward_kernel<width, S>, g.blocks, block_threads, g,
           keep ? grads.dresidual.device_data<S>() : dy.device_data<S>(),
           relu && !keep ? y.device_data<S>() : nullptr, x.device_data<S>(), mean.device_data<C>(),
           factors.device_data<C>(), grads.dx.device_data<S>());
  });
  return grads;
}

}  // namespace cairn::kernels::cuda

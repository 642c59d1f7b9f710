// A block takes one row and walks over all rows of the other side, a thread each.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/margin_mean/margin_mean.h"
#include "tensor/kernels/reduce/passes.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

constexpr double eps = 0x1p-23;  // float32's, as in the reference

/// One side's rows and their positions.
template <class T>
struct Side {
  int64_t rows;
  const T* x;
  const double* positions;
};

/// The distance of a pair if it counts, else -1. A NaN counts.
template <class T>
__device__ double counted_distance(const Side<T>& a, int64_t i, const Side<T>& b, int64_t j,
                                   int64_t c, double radius, double margin) {
  T d2 = 0;
  for (int64_t k = 0; k < c; ++k) {
    const T off = a.x[i * c + k] - b.x[j * c + k];
    d2 = std::fma(off, off, d2);
  }
  const double d = std::sqrt(double(d2) + eps);
  const double *p = a.positions + 2 * i, *q = b.positions + 2 * j;
  return d >= margin || !(std::hypot(p[0] - q[0], p[1] - q[1]) > radius) ? -1 : d;
}

/// sums[i] = (sum of (margin - d)^2, how many) for row i of a.
template <class T>
__global__ void margin_sums_kernel(Side<T> a, Side<T> b, int64_t c, double radius, double margin,
                                   double* sums) {
  __shared__ double shared[2][block_threads];
  double total = 0, count = 0;
  for (int64_t j = threadIdx.x; j < b.rows; j += blockDim.x) {
    const double d = counted_distance(a, int64_t(blockIdx.x), b, j, c, radius, margin);
    if (d == -1) continue;
    total += (margin - d) * (margin - d);
    ++count;
  }
  shared[0][threadIdx.x] = total;
  shared[1][threadIdx.x] = count;
  for (int step = blockDim.x / 2; step > 0; step /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < step)
      for (auto& s : shared) s[threadIdx.x] += s[threadIdx.x + step];
  }
  if (threadIdx.x == 0)
    for (int k = 0; k < 2; ++k) sums[2 * blockIdx.x + k] = shared[k][0];
}

/// y = total / count, 0 without any; sums: total, count.
template <class T>
__global__ void mean_kernel(const double* sums, T* mean, double* count) {
  *count = sums[1];
  *mean = T(sums[1] > 0 ? sums[0] / sums[1] : 0);
}

/// da_i, a channel for each thread: the weights of 256 pairs are found together, then added up.
template <class T>
__global__ void margin_backward_kernel(Side<T> a, Side<T> b, int64_t c, double radius,
                                       double margin, const T* dy, const double* count, T* da) {
  __shared__ T weight[block_threads];
  const int64_t i = blockIdx.x, k = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
  const double factor = 2 * double(*dy) / (*count > 1 ? *count : 1);
  T sum = 0;
  for (int64_t j0 = 0; j0 < b.rows; j0 += blockDim.x) {
    const int64_t j = j0 + threadIdx.x;
    const double d = j < b.rows ? counted_distance(a, i, b, j, c, radius, margin) : -1;
    weight[threadIdx.x] = d == -1 ? T(0) : T(-factor * (margin - d) / d);
    __syncthreads();
    const int64_t many = b.rows - j0 < blockDim.x ? b.rows - j0 : blockDim.x;
    if (k < c)
      for (int64_t other = 0; other < many; ++other)
        if (const T w = weight[other]; w != 0)
          sum = std::fma(w, a.x[i * c + k] - b.x[(j0 + other) * c + k], sum);
    __syncthreads();
  }
  if (k < c) da[i * c + k] = sum;
}

template <class T>
Side<T> side(const Tensor& x, const Tensor& positions) {
  return {x.dim(0), x.device_data<T>(), positions.device_data<double>()};
}

}  // namespace

MarginMean margin_mean(const Tensor& a, const Tensor& b, const Margin& p) {
  MarginMean result{Tensor::empty({}, a.dtype(), Device::cuda),
                    Tensor::empty({}, DType::f64, Device::cuda)};
  Tensor sums = Tensor::empty({a.dim(0), 2}, DType::f64, Device::cuda);
  dispatch_float(a.dtype(), "margin_mean", [&]<class T>() {
    launch("margin_mean", margin_sums_kernel<T>, dim3(unsigned(a.dim(0))), block_threads,
           side<T>(a, p.positions_a), side<T>(b, p.positions_b), a.dim(1), p.radius, p.margin,
           sums.device_data<double>());
    sums = sum_middle(sums, 1, a.dim(0), 2);
    launch("margin_mean", mean_kernel<T>, 1, 1, sums.device_data<double>(),
           result.mean.device_data<T>(), result.count.device_data<double>());
  });
  return result;
}

MarginMeanGrads margin_mean_backward(const Tensor& dy, const Tensor& count, const Tensor& a,
                                     const Tensor& b, const Margin& p) {
  MarginMeanGrads g{Tensor::empty(a.shape(), a.dtype(), Device::cuda),
                    Tensor::empty(b.shape(), b.dtype(), Device::cuda)};
  dispatch_float(a.dtype(), "margin_mean_backward", [&]<class T>() {
    const Side<T> sa = side<T>(a, p.positions_a), sb = side<T>(b, p.positions_b);
    const auto run = [&](const Side<T>& from, const Side<T>& to, Tensor& grad) {
      const auto channel_blocks = unsigned((a.dim(1) + block_threads - 1) / block_threads);
      launch("margin_mean_backward", margin_backward_kernel<T>,
             dim3(unsigned(from.rows), channel_blocks), block_threads, from, to, a.dim(1), p.radius,
             p.margin, dy.device_data<T>(), count.device_data<double>(), grad.device_data<T>());
    };
    run(sa, sb, g.da);
    run(sb, sa, g.db);
  });
  return g;
}

}  // namespace cairn::kernels::cuda

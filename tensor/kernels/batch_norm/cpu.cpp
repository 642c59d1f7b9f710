// Batch normalisation for the CPU: vectors run across channels, threads over chunks of rows. The
// passes are bound by memory, so each reads and writes as little as it can.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/batch_norm/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/loops-inl.h"
#include "tensor/parallel.h"

#ifndef CAIRN_BATCH_NORM_TABLE
#define CAIRN_BATCH_NORM_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  /// Over `rows` of x: s = sum (x - shift), q = sum (x - shift)^2; s and q begin as zeros.
  void (*moments)(int64_t rows, int64_t c, const T* x, const T* shift, T* s, T* q);
  /// y = relu?(scale (x - mean) + beta + residual?); residual may be null.
  void (*forward)(int64_t rows, int64_t c, const T* x, const T* scale, const T* mean, const T* beta,
                  const T* residual, bool relu, T* y);
  /// g = dy [y > 0] (dy if y is null), written if g is not null;
  /// s = sum g, q = sum g (x - mean); s and q begin as zeros.
  void (*sums)(int64_t rows, int64_t c, const T* dy, const T* y, const T* x, const T* mean, T* g,
               T* s, T* q);
  /// dx = scale (dy [y > 0] - k1 - (x - mean) k2).
  void (*backward)(int64_t rows, int64_t c, const T* dy, const T* y, const T* x, const T* mean,
                   const T* scale, const T* k1, const T* k2, T* dx);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void moments(int64_t rows, int64_t c, const T* x, const T* shift, T* s, T* q) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * c) {  // four rows for one pass over s and q
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto k = hn::LoadU(d, shift + i);
      const auto v0 = hn::Sub(hn::LoadU(d, x + i), k), v1 = hn::Sub(hn::LoadU(d, x + c + i), k);
      const auto v2 = hn::Sub(hn::LoadU(d, x + 2 * c + i), k);
      const auto v3 = hn::Sub(hn::LoadU(d, x + 3 * c + i), k);
      const auto sum = hn::Add(hn::Add(v0, v1), hn::Add(v2, v3));
      const auto squares =
          hn::Add(hn::MulAdd(v0, v0, hn::Mul(v1, v1)), hn::MulAdd(v2, v2, hn::Mul(v3, v3)));
      hn::StoreU(hn::Add(hn::LoadU(d, s + i), sum), d, s + i);
      hn::StoreU(hn::Add(hn::LoadU(d, q + i), squares), d, q + i);
    });
  }
  for (; row < rows; ++row, x += c) {
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto v = hn::Sub(hn::LoadU(d, x + i), hn::LoadU(d, shift + i));
      hn::StoreU(hn::Add(hn::LoadU(d, s + i), v), d, s + i);
      hn::StoreU(hn::MulAdd(v, v, hn::LoadU(d, q + i)), d, q + i);
    });
  }
}

template <class T, bool relu, bool add>
void forward_rows(int64_t rows, int64_t c, const T* x, const T* scale, const T* mean, const T* beta,
                  const T* residual, T* y) {
  for (int64_t at = 0; at < rows * c; at += c) {
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto off = hn::Sub(hn::LoadU(d, x + at + i), hn::LoadU(d, mean + i));
      auto z = hn::MulAdd(off, hn::LoadU(d, scale + i), hn::LoadU(d, beta + i));
      if constexpr (add) z = hn::Add(z, hn::LoadU(d, residual + at + i));
      if constexpr (relu) z = hn::IfThenZeroElse(hn::Lt(z, hn::Zero(d)), z);
      hn::StoreU(z, d, y + at + i);
    });
  }
}

template <class T>
void forward(int64_t rows, int64_t c, const T* x, const T* scale, const T* mean, const T* beta,
             const T* residual, bool relu, T* y) {
  const auto run = residual ? (relu ? forward_rows<T, true, true> : forward_rows<T, false, true>)
                            : (relu ? forward_rows<T, true, false> : forward_rows<T, false, false>);
  run(rows, c, x, scale, mean, beta, residual, y);
}

/// dy where y > 0; all of dy when there is no mask.
template <bool masked, class D, class T>
HWY_INLINE auto passed(D d, const T* dy, const T* y) {
  const auto g = hn::LoadU(d, dy);
  if constexpr (masked)
    return hn::IfThenElseZero(hn::Gt(hn::LoadU(d, y), hn::Zero(d)), g);
  else
    return g;
}

template <class T, bool masked, bool keep>
void sums_rows(int64_t rows, int64_t c, const T* dy, const T* y, const T* x, const T* mean, T* g,
               T* s, T* q) {
  const auto one_row = [&](auto d, int64_t at, int64_t i) HWY_ATTR {
    const auto v = passed<masked>(d, dy + at + i, y + at + i);
    if constexpr (keep) hn::StoreU(v, d, g + at + i);
    return v;
  };
  const int64_t size = rows * c;
  int64_t at = 0;
  for (; at + 4 * c <= size; at += 4 * c) {
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto k = hn::LoadU(d, mean + i);
      const T* px = x + at + i;
      const auto g0 = one_row(d, at, i), g1 = one_row(d, at + c, i);
      const auto g2 = one_row(d, at + 2 * c, i), g3 = one_row(d, at + 3 * c, i);
      const auto sum = hn::Add(hn::Add(g0, g1), hn::Add(g2, g3));
      const auto a = hn::MulAdd(g0, hn::Sub(hn::LoadU(d, px), k),
                                hn::Mul(g1, hn::Sub(hn::LoadU(d, px + c), k)));
      const auto b = hn::MulAdd(g2, hn::Sub(hn::LoadU(d, px + 2 * c), k),
                                hn::Mul(g3, hn::Sub(hn::LoadU(d, px + 3 * c), k)));
      hn::StoreU(hn::Add(hn::LoadU(d, s + i), sum), d, s + i);
      hn::StoreU(hn::Add(hn::LoadU(d, q + i), hn::Add(a, b)), d, q + i);
    });
  }
  for (; at < size; at += c) {
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto v = one_row(d, at, i);
      const auto off = hn::Sub(hn::LoadU(d, x + at + i), hn::LoadU(d, mean + i));
      hn::StoreU(hn::Add(hn::LoadU(d, s + i), v), d, s + i);
      hn::StoreU(hn::MulAdd(v, off, hn::LoadU(d, q + i)), d, q + i);
    });
  }
}

template <class T>
void sums(int64_t rows, int64_t c, const T* dy, const T* y, const T* x, const T* mean, T* g, T* s,
          T* q) {
  const auto run = y ? (g ? sums_rows<T, true, true> : sums_rows<T, true, false>)
                     : (g ? sums_rows<T, false, true> : sums_rows<T, false, false>);
  run(rows, c, dy, y, x, mean, g, s, q);
}

template <class T, bool masked>
void backward_rows(int64_t rows, int64_t c, const T* dy, const T* y, const T* x, const T* mean,
                   const T* scale, const T* k1, const T* k2, T* dx) {
  for (int64_t at = 0; at < rows * c; at += c) {
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto g = passed<masked>(d, dy + at + i, y + at + i);
      const auto off = hn::Sub(hn::LoadU(d, x + at + i), hn::LoadU(d, mean + i));
      const auto inner = hn::NegMulAdd(off, hn::LoadU(d, k2 + i), hn::Sub(g, hn::LoadU(d, k1 + i)));
      hn::StoreU(hn::Mul(hn::LoadU(d, scale + i), inner), d, dx + at + i);
    });
  }
}

template <class T>
void backward(int64_t rows, int64_t c, const T* dy, const T* y, const T* x, const T* mean,
              const T* scale, const T* k1, const T* k2, T* dx) {
  const auto run = y ? backward_rows<T, true> : backward_rows<T, false>;
  run(rows, c, dy, y, x, mean, scale, k1, k2, dx);
}

template <class T>
Table<T> make_table() {
  return {moments<T>, forward<T>, sums<T>, backward<T>};
}
Table<float> table_f32() { return make_table<float>(); }
Table<double> table_f64() { return make_table<double>(); }

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
namespace {

CAIRN_EXPORT_TABLE(Table)

/// M x C, and the rows of a chunk: about 16384 elements, so that a chunk's sums in T lose nothing
/// worth keeping before they are added in double.
struct Extent {
  int64_t m, c, rows;
};

Extent extent_of(const char* op, const Tensor& x) {
  require(x.rank() >= 1, ErrorId::shape, op, "the input is a scalar; it needs a channel axis");
  const int64_t c = x.dim(-1);
  return {c ? x.numel() / c : 0, c, std::max<int64_t>(4, 16384 / std::max<int64_t>(c, 1))};
}

void require_channels(const char* op, const char* what, const Tensor& t, const Tensor& x) {
  require_same_device(op, t, x);
  require(t.dtype() == compute_dtype(x.dtype()), ErrorId::dtype, op, "the operands are ", t.dtype(),
          " and ", x.dtype());
  require(t.rank() == 1 && t.dim(0) == x.dim(-1), ErrorId::shape, op, what, " is ", t.shape(),
          ", but the input ", x.shape(), " has ", x.dim(-1), " channels");
}

/// Per chunk of rows, 2 x C partial sums, zeroed.
template <class T>
std::vector<T> partial_sums(const Extent& e) {
  return std::vector<T>(size_t(num_chunks(e.m, e.rows) * 2 * e.c));
}

}  // namespace

BatchMoments batch_moments(const Tensor& x, double eps) {
  const Extent e = extent_of("batch_moments", x);
  if (x.on_gpu()) return cuda::batch_moments(x, eps);
  Tensor mean = Tensor::zeros({e.c}, x.dtype()), variance = Tensor::zeros({e.c}, x.dtype());
  dispatch_float(x.dtype(), "batch_moments", [&]<class T>() {
    const T* px = x.data<T>();
    const auto kernel = table<T>().moments;
    std::vector<T> parts = partial_sums<T>(e);
    // Each chunk is shifted by its first row, which is near the mean whatever the mean.
    parallel_for(e.m, e.rows, [&](int64_t begin, int64_t end) {
      T* s = parts.data() + begin / e.rows * 2 * e.c;
      kernel(end - begin, e.c, px + begin * e.c, px + begin * e.c, s, s + e.c);
    });
    // Chan, Golub and LeVeque (1979): means and sums of squares of two sets joined.
    std::vector<double> m1(size_t(e.c)), m2(size_t(e.c));
    for (int64_t begin = 0; begin < e.m; begin += e.rows) {
      const T* s = parts.data() + begin / e.rows * 2 * e.c;
      const double n = double(std::min(e.rows, e.m - begin)), before = double(begin);
      for (int64_t j = 0; j < e.c; ++j) {
        const double sum = double(s[j]), off = sum / n;
        const double delta = double(px[begin * e.c + j]) + off - m1[size_t(j)];
        m2[size_t(j)] += double(s[e.c + j]) - sum * off + delta * delta * before * n / (before + n);
        m1[size_t(j)] += delta * n / (before + n);
      }
    }
    for (int64_t j = 0; j < e.c && e.m > 0; ++j) {
      const double v = m2[size_t(j)] / double(e.m);
      mean.data<T>()[j] = T(m1[size_t(j)]);
      variance.data<T>()[j] = T(v < 0 ? 0 : v);  // rounding may go below zero; NaN stays
    }
  });
  return {mean, variance, inverse_deviation(variance, eps)};
}

Tensor inverse_deviation(const Tensor& variance, double eps) {
  if (variance.on_gpu()) return cuda::inverse_deviation(variance, eps);
  Tensor y = Tensor::empty(variance.shape(), variance.dtype());
  dispatch_float(y.dtype(), "inverse_deviation", [&]<class T>() {
    std::ranges::transform(variance.span<T>(), y.data<T>(),
                           [eps](T v) { return T(1 / std::sqrt(double(v) + eps)); });
  });
  return y;
}

void update_running_(Tensor& running_mean, Tensor& running_var, const BatchMoments& m,
                     double momentum, double unbiased) {
  require_same_device("update_running_", running_mean, m.mean);
  require_same_device("update_running_", running_var, m.mean);
  if (running_mean.on_gpu())
    return cuda::update_running_(running_mean, running_var, m, momentum, unbiased);
  axpy_(running_mean, momentum, sub(m.mean, running_mean));
  axpy_(running_var, momentum, sub(affine(m.variance, unbiased, 0), running_var));
}

FoldedNorm fold_batch_norm(const Tensor& weight, const Tensor& gamma, const Tensor& beta,
                           const Tensor& mean, const Tensor& variance, double eps, DType type) {
  const char* op = "fold_batch_norm";
  for (const Tensor* t : {&gamma, &beta, &mean, &variance}) {
    require_same_dtype(op, weight, *t);
    require(weight.rank() >= 1 && t->shape() == Shape{weight.dim(0)}, ErrorId::shape, op,
            "a channel's values are ", t->shape(), ", but the weight is ", weight.shape());
  }
  if (weight.on_gpu()) return cuda::fold_batch_norm(weight, gamma, beta, mean, variance, eps, type);
  const Tensor scale = mul(gamma, inverse_deviation(variance, eps));
  return {mul(weight.reshape({weight.dim(0), -1}), scale.reshape({-1, 1}))
              .reshape(weight.shape())
              .to(type),
          sub(beta, mul(mean, scale)).to(type)};
}

namespace {

void check_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                      const Tensor& invstd, const Tensor& residual) {
  require_channels("batch_norm", "gamma", gamma, x);
  require_channels("batch_norm", "beta", beta, x);
  require_channels("batch_norm", "mean", mean, x);
  require_channels("batch_norm", "invstd", invstd, x);
  if (residual.defined()) {
    require_same_dtype("batch_norm", x, residual);
    require_same_shape("batch_norm", x, residual);
  }
}

/// y may be x.
void normalize(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
               const Tensor& invstd, const Tensor& residual, bool relu, Tensor& y) {
  const Extent e = extent_of("batch_norm", x);
  dispatch_float(x.dtype(), "batch_norm", [&]<class T>() {
    std::vector<T> scale(size_t(e.c));
    std::ranges::transform(gamma.span<T>(), invstd.span<T>(), scale.begin(), std::multiplies<T>());
    const T *px = x.data<T>(), *pm = mean.data<T>(), *pb = beta.data<T>();
    const T* pr = residual.defined() ? residual.data<T>() : nullptr;
    T* py = y.data<T>();
    const auto kernel = table<T>().forward;
    parallel_for(e.m, e.rows, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * e.c;
      kernel(end - begin, e.c, px + at, scale.data(), pm, pb, pr ? pr + at : nullptr, relu,
             py + at);
    });
  });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                  const Tensor& invstd, const Tensor& residual, bool relu) {
  extent_of("batch_norm", x);
  check_batch_norm(x, gamma, beta, mean, invstd, residual);
  if (x.on_gpu()) return cuda::batch_norm(x, gamma, beta, mean, invstd, residual, relu);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  normalize(x, gamma, beta, mean, invstd, residual, relu, y);
  return y;
}

void batch_norm_(Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                 const Tensor& invstd, const Tensor& residual, bool relu) {
  extent_of("batch_norm", x);
  check_batch_norm(x, gamma, beta, mean, invstd, residual);
  normalize(x, gamma, beta, mean, invstd, residual, relu, x);
}

BatchNormGrads batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& y,
                                   const Tensor& gamma, const Tensor& mean, const Tensor& invstd,
                                   bool relu, bool batch_statistics, bool want_residual) {
  const char* op = "batch_norm_backward";
  const Extent e = extent_of(op, x);
  require_same_dtype(op, dy, x);
  require_same_shape(op, dy, x);
  require(!relu || y.defined(), ErrorId::argument, op, "with a ReLU, the result y is needed");
  if (relu) {
    require_same_dtype(op, y, x);
    require_same_shape(op, y, x);
  }
  require_channels(op, "gamma", gamma, x);
  require_channels(op, "mean", mean, x);
  require_channels(op, "invstd", invstd, x);
  if (x.on_gpu())
    return cuda::batch_norm_backward(dy, x, y, gamma, mean, invstd, relu, batch_statistics,
                                     want_residual);
  BatchNormGrads grads{Tensor::empty(x.shape(), x.dtype()),
                       Tensor::empty({e.c}, x.dtype()),
                       Tensor::empty({e.c}, x.dtype()),
                       {}};
  // Without a ReLU g is dy itself; with one, it is written on the way if somebody wants it.
  if (want_residual) grads.dresidual = relu ? Tensor::empty(x.shape(), x.dtype()) : dy;
  dispatch_float(x.dtype(), op, [&]<class T>() {
    const T *pd = dy.data<T>(), *px = x.data<T>(), *pm = mean.data<T>();
    const T* py = relu ? y.data<T>() : nullptr;
    T* pg = relu && want_residual ? grads.dresidual.data<T>() : nullptr;
    T* pdx = grads.dx.data<T>();
    const Table<T> kernels = table<T>();
    std::vector<T> parts = partial_sums<T>(e);
    parallel_for(e.m, e.rows, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * e.c;
      T* s = parts.data() + begin / e.rows * 2 * e.c;
      kernels.sums(end - begin, e.c, pd + at, py ? py + at : nullptr, px + at, pm,
                   pg ? pg + at : nullptr, s, s + e.c);
    });
    std::vector<double> total(size_t(2 * e.c));
    for (size_t i = 0; i < parts.size(); ++i) total[i % total.size()] += double(parts[i]);
    std::vector<T> scale(size_t(e.c)), k1(size_t(e.c)), k2(size_t(e.c));
    for (int64_t j = 0; j < e.c; ++j) {
      const double inv = double(invstd.data<T>()[j]);
      const double dbeta = total[size_t(j)], dgamma = total[size_t(e.c + j)] * inv;
      grads.dbeta.data<T>()[j] = T(dbeta);
      grads.dgamma.data<T>()[j] = T(dgamma);
      scale[size_t(j)] = T(double(gamma.data<T>()[j]) * inv);
      if (!batch_statistics || e.m == 0) continue;
      k1[size_t(j)] = T(dbeta / double(e.m));
      k2[size_t(j)] = T(dgamma * inv / double(e.m));
    }
    if (pg) pd = pg, py = nullptr;  // one array less to read
    parallel_for(e.m, e.rows, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * e.c;
      kernels.backward(end - begin, e.c, pd + at, py ? py + at : nullptr, px + at, pm, scale.data(),
                       k1.data(), k2.data(), pdx + at);
    });
  });
  return grads;
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

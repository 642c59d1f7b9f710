#include "tensor/kernels/gemm/micro_kernel.h"

#include <algorithm>

#include "tensor/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/gemm/micro_kernel.cpp"
#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Accumulators, the vectors of b and one broadcast must fit the registers: 32 of them, or 16.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int two_rows = 14, one_rows = 24;
#elif HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
constexpr int two_rows = 4, one_rows = 4;
#else
constexpr int two_rows = 6, one_rows = 12;
#endif

/// Writes the tile from `sum` (row after row of `width` values). Apart from the inner loop, so that
/// it is compiled once.
template <class D, class T = hn::TFromD<D>>
HWY_NOINLINE void finish(D d, const T* HWY_RESTRICT sum, int64_t width, const Tile<T>& t) {
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  for (int64_t m = 0; m < t.rows; ++m, sum += width) {
    T* c = t.c + m * t.c_step;
    const T* residual = t.residual ? t.residual + m * t.c_step : nullptr;
    int64_t n = 0;
    for (; n + lanes <= t.columns; n += lanes) {
      auto v = hn::Load(d, sum + n);
      if (t.bias) v = hn::Add(v, hn::LoadU(d, t.bias + n));
      if (residual) v = hn::Add(v, hn::LoadU(d, residual + n));
      if (t.relu) v = hn::IfThenElse(hn::Lt(v, zero), zero, v);  // NaN stays NaN
      hn::StoreU(v, d, c + n);
    }
    for (; n < t.columns; ++n) {
      T v = sum[n];
      if (t.bias) v += t.bias[n];
      if (residual) v += residual[n];
      c[n] = t.relu && v < 0 ? T(0) : v;
    }
  }
}

/// R rows by V vectors. Rows are addressed from every third one, with one shared step: x86 has no
/// registers for R pointers, but its address modes add base and index.
template <int R, int V, bool across_pixels, class D, class T = hn::TFromD<D>>
HWY_INLINE void multiply_tile(D d, const Tile<T>& t) {
  using Vector = hn::Vec<D>;
  constexpr int bases = (R + 2) / 3;
  const size_t lanes = hn::Lanes(d);
  Vector sum[R][V];
#pragma GCC unroll 32
  for (int m = 0; m < R; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[m][v] = hn::Zero(d);

  const T* HWY_RESTRICT b = t.b;
  for (int64_t r = 0; r < t.runs; ++r) {
    const T* a = t.a + t.run_offset[r];
    const T* base[bases];
#pragma GCC unroll 32
    for (int j = 0; j < bases; ++j) base[j] = across_pixels ? a + 3 * j * t.a_step : a;
    for (int64_t k = 0; k < t.run_length; ++k) {
      Vector bv[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) bv[v] = hn::Load(d, b + size_t(v) * lanes);
      b += size_t(V) * lanes;
#pragma GCC unroll 32
      for (int m = 0; m < R; ++m) {
        const auto av =
            hn::Set(d, across_pixels ? base[m / 3][(m % 3) * t.a_step + k] : a[k * t.a_step + m]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[m][v] = hn::MulAdd(av, bv[v], sum[m][v]);
      }
    }
  }

  if (t.rows == R &&
      t.columns == V * int64_t(lanes)) {  // a whole tile, straight from the registers
    const Vector zero = hn::Zero(d);
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const int64_t at = v * int64_t(lanes);
      const Vector bias = t.bias ? hn::LoadU(d, t.bias + at) : zero;
#pragma GCC unroll 32
      for (int m = 0; m < R; ++m) {
        Vector y = hn::Add(sum[m][v], bias);
        if (t.residual) y = hn::Add(y, hn::LoadU(d, t.residual + m * t.c_step + at));
        if (t.relu) y = hn::IfThenElse(hn::Lt(y, zero), zero, y);  // NaN stays NaN
        hn::StoreU(y, d, t.c + m * t.c_step + at);
      }
    }
    return;
  }
  HWY_ALIGN T out[size_t(R * V) * HWY_MAX_BYTES / sizeof(T)];
#pragma GCC unroll 32
  for (int m = 0; m < R; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) hn::Store(sum[m][v], d, out + size_t(m * V + v) * lanes);
  finish(d, out, int64_t(V * lanes), t);
}

/// Tiles of fewer rows, at the border, run in the smallest kernel that holds them.
template <int V, bool across_pixels, class T>
HWY_INLINE void multiply_rows(const Tile<T>& t) {
  constexpr int R = V == 1 ? one_rows : two_rows;
  const hn::ScalableTag<T> d;
  if (t.rows > R * 3 / 4) return multiply_tile<R, V, across_pixels>(d, t);
  if (t.rows > R / 2) return multiply_tile<R * 3 / 4, V, across_pixels>(d, t);
  if (t.rows > R / 4) return multiply_tile<R / 2, V, across_pixels>(d, t);
  multiply_tile<R / 4, V, across_pixels>(d, t);
}

template <class T>
void multiply(const Tile<T>& t) {
  const bool two = t.columns > int64_t(hn::Lanes(hn::ScalableTag<T>()));
  if (t.across_pixels) return two ? multiply_rows<2, true>(t) : multiply_rows<1, true>(t);
  two ? multiply_rows<2, false>(t) : multiply_rows<1, false>(t);
}

template <class T>
MicroKernel<T> kernel() {
  return {int64_t(hn::Lanes(hn::ScalableTag<T>())), one_rows, two_rows, multiply<T>};
}
[[maybe_unused]] static MicroKernel<float> kernel_f32() { return kernel<float>(); }
[[maybe_unused]] static MicroKernel<double> kernel_f64() { return kernel<double>(); }

}  // namespace HWY_NAMESPACE
}  // namespace cairn::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
HWY_EXPORT(kernel_f32);
HWY_EXPORT(kernel_f64);

template <>
MicroKernel<float> micro_kernel<float>() {
  return CAIRN_SIMD_DISPATCH(kernel_f32)();
}
template <>
MicroKernel<double> micro_kernel<double>() {
  return CAIRN_SIMD_DISPATCH(kernel_f64)();
}
}  // namespace cairn::kernels
#endif

// Vectorised loops shared by the kernel families, compiled once for each instruction set. Included
// by a cpu.cpp after hwy/foreach_target.h, hence no #pragma once.
#if defined(CAIRN_LOOPS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_LOOPS_INL_H
#undef CAIRN_LOOPS_INL_H
#else
#define CAIRN_LOOPS_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "tensor/simd.h"

/// After the target section: table<T>() is the Table<T> of functions for the target in use. The
/// section defines table_f32() and table_f64().
#ifndef CAIRN_EXPORT_TABLE
#define CAIRN_EXPORT_TABLE(Table)              \
  HWY_EXPORT(table_f32);                       \
  HWY_EXPORT(table_f64);                       \
  template <class T>                           \
  Table<T> table() {                           \
    if constexpr (sizeof(T) == 4) {            \
      return CAIRN_SIMD_DISPATCH(table_f32)(); \
    } else {                                   \
      return CAIRN_SIMD_DISPATCH(table_f64)(); \
    }                                          \
  }
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// f(d, i) for whole vectors of n elements, then for the rest one lane at a time: an element's bits
/// do not depend on where it stands.
template <class T, class F>
HWY_INLINE void for_lanes(int64_t n, const F& f) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(d, i);
  const hn::CappedTag<T, 1> one;
  for (; i < n; ++i) f(one, i);
}

/// The sum of f(d, i) over n elements: four vectors of partial sums, so that the adds overlap.
template <class T, class F>
HWY_INLINE T sum_lanes(int64_t n, const F& f) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::Add(s0, f(d, i));
    s1 = hn::Add(s1, f(d, i + lanes));
    s2 = hn::Add(s2, f(d, i + 2 * lanes));
    s3 = hn::Add(s3, f(d, i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::Add(s0, f(d, i));
  T total = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  const hn::CappedTag<T, 1> one;
  for (; i < n; ++i) total += hn::GetLane(f(one, i));
  return total;
}

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

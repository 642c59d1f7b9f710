#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/conv2d/winograd_transforms.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "tensor/kernels/conv2d/winograd_transforms.h"
#include "tensor/kernels/loops-inl.h"

#ifndef CAIRN_WINOGRAD_TABLE
#define CAIRN_WINOGRAD_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  Transforms<T> f2, f4, up;
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

// Along one axis.

/// F(2, 3), with the points 0, 1, -1 and infinity.
struct F2 {
  static constexpr int in = 4, numbers = 4, kinds = 4, out = 2, step = 2;
  static constexpr int kind[] = {0, 1, 2, 3};

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D, const V* d, V* v) {
    v[0] = hn::Sub(d[0], d[2]), v[1] = hn::Add(d[1], d[2]);
    v[2] = hn::Sub(d[2], d[1]), v[3] = hn::Sub(d[3], d[1]);
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void weights(D d, const V* g, V* u) {
    const V half = hn::Set(d, 0.5);
    const V even = hn::Mul(half, hn::Add(g[0], g[2])), odd = hn::Mul(half, g[1]);
    u[0] = g[0], u[1] = hn::Add(even, odd), u[2] = hn::Sub(even, odd), u[3] = g[2];
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output(D, const V* s, V* y) {
    y[0] = hn::Add(s[0], hn::Add(s[1], s[2]));
    y[1] = hn::Add(hn::Sub(s[1], s[2]), s[3]);
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output_back(D, const V* y, V* s) {
    s[0] = y[0], s[1] = hn::Add(y[0], y[1]), s[2] = hn::Sub(y[0], y[1]), s[3] = y[1];
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void weights_back(D d, const V* u, V* g) {
    const V half = hn::Set(d, 0.5), even = hn::Mul(half, hn::Add(u[1], u[2]));
    g[0] = hn::Add(u[0], even);
    g[1] = hn::Mul(half, hn::Sub(u[1], u[2]));
    g[2] = hn::Add(even, u[3]);
  }
};

/// F(4, 3), with the points 0, 1, -1, 2, -2 and infinity.
struct F4 {
  static constexpr int in = 6, numbers = 6, kinds = 6, out = 4, step = 4;
  static constexpr int kind[] = {0, 1, 2, 3, 4, 5};

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D d, const V* x, V* v) {
    const V four = hn::Set(d, 4), five = hn::Set(d, 5), two = hn::Set(d, 2);
    const V even1 = hn::NegMulAdd(four, x[2], x[4]), odd1 = hn::NegMulAdd(four, x[1], x[3]);
    const V even2 = hn::Sub(x[4], x[2]), odd2 = hn::Sub(x[3], x[1]);
    v[0] = hn::MulAdd(four, x[0], hn::NegMulAdd(five, x[2], x[4]));
    v[5] = hn::MulAdd(four, x[1], hn::NegMulAdd(five, x[3], x[5]));
    v[1] = hn::Add(even1, odd1);
    v[2] = hn::Sub(even1, odd1);
    v[3] = hn::MulAdd(two, odd2, even2);
    v[4] = hn::NegMulAdd(two, odd2, even2);
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void weights(D d, const V* g, V* u) {
    const V sixth = hn::Set(d, hn::TFromD<D>(1.0 / 6)), quarter = hn::Set(d, 0.25);
    const V even1 = hn::Mul(sixth, hn::Add(g[0], g[2])), odd1 = hn::Mul(sixth, g[1]);
    const V even2 = hn::Mul(sixth, hn::MulAdd(quarter, g[0], g[2]));
    const V odd2 = hn::Mul(hn::Set(d, 0.5), odd1);
    u[0] = hn::Mul(quarter, g[0]);
    u[1] = hn::Neg(hn::Add(even1, odd1));
    u[2] = hn::Sub(odd1, even1);
    u[3] = hn::Add(even2, odd2);
    u[4] = hn::Sub(even2, odd2);
    u[5] = g[2];
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output(D d, const V* s, V* y) {
    const V even1 = hn::Add(s[1], s[2]), odd1 = hn::Sub(s[1], s[2]);
    const V even2 = hn::Add(s[3], s[4]), odd2 = hn::Sub(s[3], s[4]);
    y[0] = hn::Add(s[0], hn::Add(even1, even2));
    y[1] = hn::MulAdd(hn::Set(d, 2), odd2, odd1);
    y[2] = hn::MulAdd(hn::Set(d, 4), even2, even1);
    y[3] = hn::Add(hn::MulAdd(hn::Set(d, 8), odd2, odd1), s[5]);
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output_back(D d, const V* y, V* s) {
    const V four = hn::Set(d, 4);
    const V even1 = hn::Add(y[0], y[2]), odd1 = hn::Add(y[1], y[3]);
    const V even2 = hn::MulAdd(four, y[2], y[0]), odd2 = hn::MulAdd(four, y[3], y[1]);
    s[0] = y[0];
    s[1] = hn::Add(even1, odd1);
    s[2] = hn::Sub(even1, odd1);
    s[3] = hn::MulAdd(hn::Set(d, 2), odd2, even2);
    s[4] = hn::NegMulAdd(hn::Set(d, 2), odd2, even2);
    s[5] = y[3];
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void weights_back(D d, const V* u, V* g) {
    const V sixth = hn::Set(d, hn::TFromD<D>(1.0 / 6)), quarter = hn::Set(d, 0.25);
    const V even1 = hn::Mul(sixth, hn::Add(u[1], u[2])), odd1 = hn::Mul(sixth, hn::Sub(u[1], u[2]));
    const V even2 = hn::Mul(sixth, hn::Add(u[3], u[4])), odd2 = hn::Mul(sixth, hn::Sub(u[3], u[4]));
    g[0] = hn::Sub(hn::Mul(quarter, hn::Add(u[0], even2)), even1);
    g[1] = hn::Sub(hn::Mul(hn::Set(d, 0.5), odd2), odd1);
    g[2] = hn::Add(hn::Sub(even2, even1), u[5]);
  }
};

/// A transposed convolution of stride 2: the even results are those of a kernel of two taps, by
/// F(3, 2) with the points 0, 1, -1 and infinity; the odd ones see the middle tap alone.
///   y[2i] = w[2] x[i - 1] + w[0] x[i]   y[2i + 1] = w[1] x[i]
struct Up {
  static constexpr int in = 4, numbers = 7, kinds = 5, out = 6, step = 3;
  static constexpr int kind[] = {0, 1, 2, 3, 4, 4, 4};

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D d, const V* x, V* v) {
    F2::input(d, x, v);
    v[4] = x[1], v[5] = x[2], v[6] = x[3];
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void weights(D d, const V* w, V* u) {
    const V half = hn::Set(d, 0.5);
    u[0] = w[2];
    u[1] = hn::Mul(half, hn::Add(w[2], w[0]));
    u[2] = hn::Mul(half, hn::Sub(w[2], w[0]));
    u[3] = w[0];
    u[4] = w[1];
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output(D, const V* s, V* y) {
    const V sum = hn::Add(s[1], s[2]);
    y[0] = hn::Add(s[0], sum);
    y[2] = hn::Sub(s[1], s[2]);
    y[4] = hn::Add(sum, s[3]);
    y[1] = s[4], y[3] = s[5], y[5] = s[6];
  }
};

/// Applies `map`, from `from` values to `to` of them, along both axes of a square: load(i, j) gives
/// its vectors, store(i, j, vector) takes the results.
template <int from, int to, class D, class Map, class Load, class Store>
HWY_INLINE void along_both(D d, const Map& map, const Load& load, const Store& store) {
  hn::Vec<D> a[to][from], column[from], out[to];
#pragma GCC unroll 7
  for (int j = 0; j < from; ++j) {
#pragma GCC unroll 7
    for (int i = 0; i < from; ++i) column[i] = load(i, j);
    map(d, column, out);
#pragma GCC unroll 7
    for (int i = 0; i < to; ++i) a[i][j] = out[i];
  }
#pragma GCC unroll 7
  for (int i = 0; i < to; ++i) {
    map(d, a[i], out);
#pragma GCC unroll 7
    for (int j = 0; j < to; ++j) store(i, j, out[j]);
  }
}

/// One of F's functions as a value.
#define CAIRN_MAP(function) [](auto d, const auto* x, auto* y) HWY_ATTR { F::function(d, x, y); }

template <class F, class T>
void transform_input(const T* x, int64_t row, int64_t pixel, int64_t channels, T* v, int64_t step) {
  for_lanes<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    along_both<F::in, F::numbers>(
        d, CAIRN_MAP(input),
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, x + i * row + j * pixel + c); },
        [&](int i, int j, auto y)
            HWY_ATTR { hn::StoreU(y, d, v + (i * F::numbers + j) * step + c); });
  });
}

template <class F, class T>
void transform_weights(const T* w, int64_t step, int64_t count, T* u) {
  for_lanes<T>(count, [&](auto d, int64_t k) HWY_ATTR {
    along_both<3, F::kinds>(
        d, CAIRN_MAP(weights),
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, w + (i * 3 + j) * step + k); },
        [&](int i, int j, auto y)
            HWY_ATTR { hn::StoreU(y, d, u + (i * F::kinds + j) * step + k); });
  });
}

template <class F, class T>
void transform_output(const T* sum, int64_t step, int64_t channels, const OutputTile<T>& y) {
  for_lanes<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    const auto zero = hn::Zero(d), bias = y.bias ? hn::LoadU(d, y.bias + c) : zero;
    along_both<F::numbers, F::out>(
        d, CAIRN_MAP(output),
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, sum + (i * F::numbers + j) * step + c); },
        [&](int i, int j, auto v) HWY_ATTR {
          if (i >= y.rows || j >= y.columns) return;
          const int64_t at = i * y.row + j * y.pixel + c;
          v = hn::Add(v, bias);
          if (y.residual) v = hn::Add(v, hn::LoadU(d, y.residual + at));
          if (y.relu) v = hn::IfThenElse(hn::Lt(v, zero), zero, v);  // NaN stays NaN
          hn::StoreU(v, d, y.y + at);
        });
  });
}

template <class F, class T>
void transform_output_back(const T* dy, int64_t row, int64_t pixel, int64_t channels, T* sum,
                           int64_t step) {
  for_lanes<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    along_both<F::out, F::numbers>(
        d, CAIRN_MAP(output_back),
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, dy + i * row + j * pixel + c); },
        [&](int i, int j, auto y)
            HWY_ATTR { hn::StoreU(y, d, sum + (i * F::numbers + j) * step + c); });
  });
}

template <class F, class T>
void transform_weights_back(const T* u, int64_t step, int64_t count, T* w) {
  for_lanes<T>(count, [&](auto d, int64_t k) HWY_ATTR {
    along_both<F::numbers, 3>(
        d, CAIRN_MAP(weights_back),
        [&](int i, int j) HWY_ATTR { return hn::LoadU(d, u + (i * F::numbers + j) * step + k); },
        [&](int i, int j, auto y) HWY_ATTR { hn::StoreU(y, d, w + (i * 3 + j) * step + k); });
  });
}

#undef CAIRN_MAP

template <class F, class T>
Transforms<T> transforms() {
  Transforms<T> all{F::in,
                    F::numbers,
                    F::kinds,
                    F::out,
                    F::step,
                    F::kind,
                    transform_input<F, T>,
                    transform_weights<F, T>,
                    transform_output<F, T>,
                    nullptr,
                    nullptr};
  if constexpr (F::kinds == F::numbers) {
    all.output_back = transform_output_back<F, T>;
    all.weights_back = transform_weights_back<F, T>;
  }
  return all;
}
template <class T>
Table<T> make_table() {
  return {transforms<F2, T>(), transforms<F4, T>(), transforms<Up, T>()};
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

}  // namespace

template <class T>
Transforms<T> winograd_transforms(ConvAlgorithm algorithm) {
  const Table<T> all = table<T>();
  return algorithm == ConvAlgorithm::winograd2   ? all.f2
         : algorithm == ConvAlgorithm::winograd4 ? all.f4
                                                 : all.up;
}
template Transforms<float> winograd_transforms(ConvAlgorithm);
template Transforms<double> winograd_transforms(ConvAlgorithm);

}  // namespace cairn::kernels
#endif  // HWY_ONCE

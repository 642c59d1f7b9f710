#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/conv2d/winograd.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include "tensor/kernels/conv2d/winograd.h"
#include "tensor/kernels/gemm/micro_kernel.h"
#include "tensor/kernels/gemm/panels.h"
#include "tensor/kernels/loops-inl.h"
#include "tensor/parallel.h"

#ifndef CAIRN_WINOGRAD_TABLE
#define CAIRN_WINOGRAD_TABLE
namespace cairn::kernels {
namespace {

/// One tile of m x m results, of `rows` x `columns` that exist.
template <class T>
struct OutputTile {
  T* y = nullptr;
  const T* residual = nullptr;  ///< laid out as y (and may be y), or null
  int64_t row = 0, pixel = 0;   ///< elements from row to row, from pixel to pixel
  const T* bias = nullptr;
  bool relu = false;
  int64_t rows = 0, columns = 0;
};

/// The transforms of F(m x m, 3 x 3). `step` counts elements between the t x t transformed numbers.
template <class T>
struct Transforms {
  /// t x t pixels of `channels` values each, to v.
  void (*input)(const T* x, int64_t row, int64_t pixel, int64_t channels, T* v, int64_t step);
  /// `count` values of each of 3 x 3 taps, `step` apart, to t x t numbers as far apart.
  void (*weights)(const T* w, int64_t step, int64_t count, T* u);
  /// `channels` sums, to results.
  void (*output)(const T* sum, int64_t step, int64_t channels, const OutputTile<T>& y);
  // The transposes of the last two, for the weight gradient.
  /// m x m gradients of `channels` values each, to t x t.
  void (*output_back)(const T* dy, int64_t row, int64_t pixel, int64_t channels, T* sum,
                      int64_t step);
  /// t x t numbers, to 3 x 3 gradients of weights; u and w may be the same.
  void (*weights_back)(const T* u, int64_t step, int64_t count, T* w);
};

template <class T>
struct Table {
  Transforms<T> f2, f4;
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

// Each is y = M x in place or from x to y, along one axis; two-dimensional ones apply them along
// both.

/// F(2, 3), with the points 0, 1, -1 and infinity.
struct F2 {
  static constexpr int m = 2, t = 4;

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D, V* d) {
    const V t0 = hn::Sub(d[0], d[2]), t1 = hn::Add(d[1], d[2]);
    const V t2 = hn::Sub(d[2], d[1]), t3 = hn::Sub(d[3], d[1]);
    d[0] = t0, d[1] = t1, d[2] = t2, d[3] = t3;
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
  static constexpr int m = 4, t = 6;

  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D d, V* x) {
    const V four = hn::Set(d, 4), five = hn::Set(d, 5), two = hn::Set(d, 2);
    const V even1 = hn::NegMulAdd(four, x[2], x[4]), odd1 = hn::NegMulAdd(four, x[1], x[3]);
    const V even2 = hn::Sub(x[4], x[2]), odd2 = hn::Sub(x[3], x[1]);
    const V first = hn::MulAdd(four, x[0], hn::NegMulAdd(five, x[2], x[4]));
    const V last = hn::MulAdd(four, x[1], hn::NegMulAdd(five, x[3], x[5]));
    x[0] = first;
    x[1] = hn::Add(even1, odd1);
    x[2] = hn::Sub(even1, odd1);
    x[3] = hn::MulAdd(two, odd2, even2);
    x[4] = hn::NegMulAdd(two, odd2, even2);
    x[5] = last;
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

template <class F, class T>
void transform_input(const T* x, int64_t row, int64_t pixel, int64_t channels, T* v, int64_t step) {
  for_lanes<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    constexpr int t = F::t;
    hn::Vec<decltype(d)> a[t][t], column[t];
#pragma GCC unroll 6
    for (int j = 0; j < t; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < t; ++i) column[i] = hn::LoadU(d, x + i * row + j * pixel + c);
      F::input(d, column);
#pragma GCC unroll 6
      for (int i = 0; i < t; ++i) a[i][j] = column[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < t; ++i) {
      F::input(d, a[i]);
#pragma GCC unroll 6
      for (int j = 0; j < t; ++j) hn::StoreU(a[i][j], d, v + (i * t + j) * step + c);
    }
  });
}

template <class F, class T>
void transform_weights(const T* w, int64_t step, int64_t count, T* u) {
  for_lanes<T>(count, [&](auto d, int64_t k) HWY_ATTR {
    constexpr int t = F::t;
    hn::Vec<decltype(d)> a[3][t], g[3], out[t];
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) g[j] = hn::LoadU(d, w + (i * 3 + j) * step + k);
      F::weights(d, g, a[i]);
    }
    for (int j = 0; j < t; ++j) {
      for (int i = 0; i < 3; ++i) g[i] = a[i][j];
      F::weights(d, g, out);
      for (int i = 0; i < t; ++i) hn::StoreU(out[i], d, u + (i * t + j) * step + k);
    }
  });
}

template <class F, class T>
void transform_output(const T* sum, int64_t step, int64_t channels, const OutputTile<T>& y) {
  for_lanes<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    constexpr int t = F::t, m = F::m;
    using V = hn::Vec<decltype(d)>;
    V a[m][t], column[t], out[m];
#pragma GCC unroll 6
    for (int j = 0; j < t; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < t; ++i) column[i] = hn::LoadU(d, sum + (i * t + j) * step + c);
      F::output(d, column, out);
#pragma GCC unroll 4
      for (int i = 0; i < m; ++i) a[i][j] = out[i];
    }
    const V zero = hn::Zero(d), bias = y.bias ? hn::LoadU(d, y.bias + c) : zero;
    for (int i = 0; i < y.rows; ++i) {
      F::output(d, a[i], out);
      for (int j = 0; j < y.columns; ++j) {
        const int64_t at = i * y.row + j * y.pixel + c;
        V v = hn::Add(out[j], bias);
        if (y.residual) v = hn::Add(v, hn::LoadU(d, y.residual + at));
        if (y.relu) v = hn::IfThenElse(hn::Lt(v, zero), zero, v);  // NaN stays NaN
        hn::StoreU(v, d, y.y + at);
      }
    }
  });
}

template <class F, class T>
void transform_output_back(const T* dy, int64_t row, int64_t pixel, int64_t channels, T* sum,
                           int64_t step) {
  for_lanes<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    constexpr int t = F::t, m = F::m;
    hn::Vec<decltype(d)> a[t][m], column[m], out[t];
#pragma GCC unroll 4
    for (int j = 0; j < m; ++j) {
#pragma GCC unroll 4
      for (int i = 0; i < m; ++i) column[i] = hn::LoadU(d, dy + i * row + j * pixel + c);
      F::output_back(d, column, out);
#pragma GCC unroll 6
      for (int i = 0; i < t; ++i) a[i][j] = out[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < t; ++i) {
      F::output_back(d, a[i], out);
#pragma GCC unroll 6
      for (int j = 0; j < t; ++j) hn::StoreU(out[j], d, sum + (i * t + j) * step + c);
    }
  });
}

template <class F, class T>
void transform_weights_back(const T* u, int64_t step, int64_t count, T* w) {
  for_lanes<T>(count, [&](auto d, int64_t k) HWY_ATTR {
    constexpr int t = F::t;
    hn::Vec<decltype(d)> a[3][t], column[t], out[3];
    for (int j = 0; j < t; ++j) {
      for (int i = 0; i < t; ++i) column[i] = hn::LoadU(d, u + (i * t + j) * step + k);
      F::weights_back(d, column, out);
      for (int i = 0; i < 3; ++i) a[i][j] = out[i];
    }
    for (int i = 0; i < 3; ++i) {
      F::weights_back(d, a[i], out);
      for (int j = 0; j < 3; ++j) hn::StoreU(out[j], d, w + (i * 3 + j) * step + k);
    }
  });
}

template <class F, class T>
Transforms<T> transforms() {
  return {transform_input<F, T>, transform_weights<F, T>, transform_output<F, T>,
          transform_output_back<F, T>, transform_weights_back<F, T>};
}
template <class T>
Table<T> make_table() {
  return {transforms<F2, T>(), transforms<F4, T>()};
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

// The transformed input of one block of tiles: about half of a second-level cache.
constexpr int64_t block_bytes = 512 << 10;

/// Copies the pixels (top, left) to (top + size, left + size), exclusive, of image n with zeros
/// around it: pixels of `channels` side by side.
template <class T>
void copy_patch(const Image<const T>& from, int64_t n, int64_t height, int64_t width, int64_t top,
                int64_t left, int64_t size, T* to) {
  for (int64_t i = 0; i < size * size; ++i, to += from.channels) {
    const int64_t r = top + i / size, c = left + i % size;
    if (r < 0 || c < 0 || r >= height || c >= width)
      std::fill_n(to, from.channels, T(0));
    else
      std::copy_n(from.at(n, r, c), from.channels, to);
  }
}

/// The results cut into tiles, row after row, image after image.
template <class T>
struct Tiles {
  Tiles(const Windows<T>& windows, int64_t size)
      : x(windows), m(size), down(ceil_div(x.rows, m)), across(ceil_div(x.columns, m)) {}

  int64_t count() const { return x.batch * down * across; }

  struct Place {
    int64_t image, row, column;  // of the first result
  };
  Place operator[](int64_t i) const {
    return {i / across / down, i / across % down * m, i % across * m};
  }
  /// Calls f(first pixel, row stride, pixel stride) on the square of `size` pixels at (top, left)
  /// of an image, or on a copy of it in `copy` where it reaches beyond.
  template <class F>
  static void patch(const Image<const T>& from, int64_t n, int64_t height, int64_t width,
                    int64_t top, int64_t left, int64_t size, T* copy, const F& f) {
    if (top >= 0 && left >= 0 && top + size <= height && left + size <= width)
      return f(from.at(n, top, left), from.row, from.pixel);
    copy_patch(from, n, height, width, top, left, size, copy);
    f(static_cast<const T*>(copy), size * from.channels, from.channels);
  }
  /// Transforms what a tile sees: all channels, at v.
  void transform_input(const Transforms<T>& transform, const Place& p, T* copy, T* v,
                       int64_t step) const {
    for (const auto& source : x.sources) {
      patch(source, p.image, x.height, x.width, p.row + x.tap[0][0], p.column + x.tap[1][0], m + 2,
            copy, [&](const T* pixels, int64_t row, int64_t pixel) {
              transform.input(pixels, row, pixel, source.channels, v, step);
            });
      v += source.channels;
    }
  }

  const Windows<T>& x;
  int64_t m, down, across;
};

/// A step between numbers of at least `least` elements: whole cache lines, and no power of two, so
/// that the numbers of a tile do not share cache sets.
template <class T>
int64_t step_of(int64_t least) {
  constexpr int64_t line = 64 / int64_t(sizeof(T));
  return round_up(least, line) + line;
}

}  // namespace

template <class T>
bool is_3x3(const Windows<T>& x) {
  const auto adjacent = [](const std::vector<int64_t>& tap) {
    return tap.size() == 3 && tap[1] == tap[0] + 1 && tap[2] == tap[1] + 1;
  };
  return x.step == std::array<int64_t, 2>{1, 1} && adjacent(x.tap[0]) && adjacent(x.tap[1]);
}

template <class T>
Scratch<T> transform_weights(int64_t m, const T* packed, int64_t channels, const Panels& panels) {
  const Table<T> all = table<T>();
  const auto transform = m == 2 ? all.f2.weights : all.f4.weights;
  const int64_t numbers = (m + 2) * (m + 2), c = channels;
  Scratch<T> transformed(numbers * c * panels.padded());
  T* const u = transformed.data();
  const int64_t pieces = ceil_div(c, 16);  // of a panel: 16 channels each
  parallel_for(panels.count() * pieces, 8, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t p = i / pieces, width = panels.width(p), first = p * 2 * panels.lanes * c;
      const int64_t channel = i % pieces * 16, count = std::min<int64_t>(16, c - channel);
      transform(packed + 9 * first + channel * width, c * width, count * width,
                u + numbers * first + channel * width);
    }
  });
  return transformed;
}

template <class T>
void winograd(int64_t m, const Windows<T>& x, const T* transformed, int64_t outputs,
              const Pixels<T>& y) {
  const Table<T> all = table<T>();
  const Transforms<T>& transform = m == 2 ? all.f2 : all.f4;
  const MicroKernel<T> kernel = micro_kernel<T>();
  const Panels panels{outputs, kernel.lanes};
  const int64_t numbers = (m + 2) * (m + 2), c = x.channels();

  const Tiles<T> tiles(x, m);
  const int64_t rows = kernel.rows(outputs);
  const int64_t fit = block_bytes / (numbers * c * int64_t(sizeof(T)));
  const int64_t block = std::max<int64_t>(rows, fit / rows * rows);
  const int64_t blocks = ceil_div(tiles.count(), block);
  const int64_t groups = panel_groups(panels.count(), blocks, block * numbers * c * outputs);

  parallel_for(blocks * groups, 1, [&](int64_t task, int64_t) {
    const int64_t begin = task / groups * block, count = std::min(block, tiles.count() - begin);
    const int64_t slack = std::max(kernel.one_vector_rows, kernel.two_vector_rows) * c;
    const int64_t width = 2 * panels.lanes;
    const int64_t v_step = step_of<T>(count * c), sum_step = step_of<T>(count * width);
    Scratch<T> inputs(numbers * v_step + slack), sums(numbers * sum_step), copy(numbers * c);
    T *const v = inputs.data(), *const sum = sums.data(), *const border = copy.data();
    for (int64_t i = 0; i < count; ++i)
      tiles.transform_input(transform, tiles[begin + i], border, v + i * c, v_step);
    Tile<T> product;
    const int64_t start = 0;
    product.a_step = c;
    product.run_offset = &start;
    product.runs = 1;
    product.run_length = c;
    const int64_t group = task % groups, first = group * panels.count() / groups;
    for (int64_t p = first; p < (group + 1) * panels.count() / groups; ++p) {
      const int64_t o = p * width, padded = panels.width(p), most = kernel.rows(padded);
      product.columns = product.c_step = padded;
      for (int64_t k = 0; k < numbers; ++k) {
        product.b = transformed + numbers * o * c + k * c * padded;
        for (int64_t i = 0; i < count; i += most) {
          product.rows = std::min(most, count - i);
          product.a = v + k * v_step + i * c;
          product.c = sum + k * sum_step + i * padded;
          kernel.multiply(product);
        }
      }
      OutputTile<T> out;
      out.row = y.row;
      out.pixel = y.pixel;
      out.bias = y.bias ? y.bias + o : nullptr;
      out.relu = y.relu;
      for (int64_t i = 0; i < count; ++i) {
        const auto place = tiles[begin + i];
        const int64_t at = place.image * y.image + place.row * y.row + place.column * y.pixel + o;
        out.y = y.y + at;
        out.residual =
            y.residual ? y.residual + at + place.image * (y.residual_image - y.image) : nullptr;
        out.rows = std::min(m, x.rows - place.row);
        out.columns = std::min(m, x.columns - place.column);
        transform.output(sum + i * padded, sum_step, panels.columns(p), out);
      }
    }
  });
}

template <class T>
void winograd_weights(int64_t m, const Windows<T>& x, const T* dy, int64_t outputs, T* dw,
                      const TapMatrices& matrices) {
  const Table<T> all = table<T>();
  const Transforms<T>& transform = m == 2 ? all.f2 : all.f4;
  const MicroKernel<T> kernel = micro_kernel<T>();
  const Panels panels{outputs, kernel.lanes};
  const int64_t numbers = (m + 2) * (m + 2), c = x.channels(), width = 2 * panels.lanes;
  const int64_t dy_row = x.columns * outputs;
  const Tiles<T> tiles(x, m);

  // Both sides of a block of tiles are transformed, then multiplied, number by number and panel by
  // panel, and added to sums (panel after panel, numbers x channels x width). Where these are
  // small, tasks take chunks of tiles, with sums of their own and blocks that stay in the
  // second-level cache. Where not, all share one set of sums and divide each block, which is then
  // larger, so that the sums are not visited often. Either way their order depends on sizes alone.
  const int64_t size = numbers * c * panels.padded();
  const bool alone = size * int64_t(sizeof(T)) <= block_bytes / 2;
  const int64_t chunks = alone ? std::clamp<int64_t>(tiles.count() / 256, 1, 32) : 1;
  const int64_t chunk = ceil_div(tiles.count(), chunks);
  const int64_t bytes_of_tile = numbers * (c + panels.padded()) * int64_t(sizeof(T));
  const int64_t block =
      std::clamp<int64_t>((alone ? block_bytes : 16 * block_bytes) / bytes_of_tile,
                          std::min<int64_t>(16, chunk), chunk);
  Scratch<T> sums(num_chunks(tiles.count(), chunk) * size);
  T* const all_sums = sums.data();
  parallel_for(tiles.count(), chunk, [&](int64_t first, int64_t last) {
    const int64_t v_step = step_of<T>(block * c), d_step = step_of<T>(block * width);
    const int64_t slack = std::max(kernel.one_vector_rows, kernel.two_vector_rows);
    Scratch<T> inputs(numbers * v_step + slack), gradients(panels.count() * numbers * d_step);
    T *const v = inputs.data(), *const d = gradients.data();
    T* const sum = all_sums + first / chunk * size;
    for (int64_t begin = first; begin < last; begin += block) {
      const int64_t count = std::min(block, last - begin);
      parallel_for(count, 16, [&](int64_t from, int64_t to) {
        Scratch<T> copy(numbers * std::max(c, width));
        T* const border = copy.data();
        for (int64_t i = from; i < to; ++i) {
          const auto place = tiles[begin + i];
          tiles.transform_input(transform, place, border, v + i * c, v_step);
          for (int64_t p = 0; p < panels.count(); ++p) {
            const Image<const T> from{dy + p * width, panels.columns(p), outputs, dy_row,
                                      x.rows * dy_row};
            Tiles<T>::patch(from, place.image, x.rows, x.columns, place.row, place.column, m,
                            border, [&](const T* pixels, int64_t row, int64_t pixel) {
                              transform.output_back(pixels, row, pixel, from.channels,
                                                    d + p * numbers * d_step + i * panels.width(p),
                                                    d_step);
                            });
          }
        }
      });
      parallel_for(numbers * panels.count(), 1, [&](int64_t task, int64_t) {
        const int64_t p = task / numbers, k = task % numbers, padded = panels.width(p);
        const int64_t start = 0;
        Tile<T> product;
        product.across_pixels = false;
        product.a_step = c;
        product.run_offset = &start;
        product.runs = 1;
        product.run_length = count;
        product.b = d + (p * numbers + k) * d_step;
        product.columns = product.c_step = padded;
        const int64_t rows = kernel.rows(padded);
        for (int64_t i = 0; i < c; i += rows) {
          product.rows = std::min(rows, c - i);
          product.a = v + k * v_step + i;
          product.c = sum + numbers * p * width * c + (k * c + i) * padded;
          product.residual = begin > first ? product.c : nullptr;
          kernel.multiply(product);
        }
      });
    }
  });

  parallel_for(panels.count() * c, 16, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t p = i / c, channel = i % c, padded = panels.width(p),
                    columns = panels.columns(p);
      T* const at = all_sums + numbers * p * width * c + channel * padded;
      for (int64_t other = 1; other < num_chunks(tiles.count(), chunk); ++other)
        for (int64_t k = 0; k < numbers; ++k)
          for (int64_t o = k * c * padded; o < k * c * padded + columns; ++o)
            at[o] += at[other * size + o];
      transform.weights_back(at, c * padded, columns, at);
      for (int64_t tap = 0; tap < 9; ++tap) {
        T* const to_w = dw + matrices.tap[size_t(tap)] + channel * matrices.channel_stride +
                        p * width * matrices.output_stride;
        for (int64_t o = 0; o < columns; ++o)
          to_w[o * matrices.output_stride] = at[tap * c * padded + o];
      }
    }
  });
}

#define CAIRN_INSTANTIATE(T)                                                               \
  template bool is_3x3(const Windows<T>&);                                                 \
  template Scratch<T> transform_weights(int64_t, const T*, int64_t, const Panels&);        \
  template void winograd(int64_t, const Windows<T>&, const T*, int64_t, const Pixels<T>&); \
  template void winograd_weights(int64_t, const Windows<T>&, const T*, int64_t, T*,        \
                                 const TapMatrices&);
CAIRN_INSTANTIATE(float)
CAIRN_INSTANTIATE(double)
#undef CAIRN_INSTANTIATE

}  // namespace cairn::kernels
#endif  // HWY_ONCE

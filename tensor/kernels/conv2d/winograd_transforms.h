// The transforms of Winograd's filtering (winograd.h), vectorised over channels.
#pragma once

#include <cstdint>

#include "tensor/kernels/conv2d/algorithm.h"

namespace cairn::kernels {

/// One tile of results, of which `rows` x `columns` exist.
template <class T>
struct OutputTile {
  T* y = nullptr;
  const T* residual = nullptr;  ///< laid out as y (and may be y), or null
  int64_t row = 0, pixel = 0;   ///< elements from row to row, from pixel to pixel
  const T* bias = nullptr;
  bool relu = false;
  int64_t rows = 0, columns = 0;
};

/// Along one axis a tile sees `in` pixels, which become `numbers`; the kernel becomes `kinds` of
/// them, of which kind[i] meets number i; and the products become `out` results. Tiles begin `step`
/// pixels apart. Each has a function for both axes; `step` there counts elements between numbers.
template <class T>
struct Transforms {
  int64_t in, numbers, kinds, out, step;
  const int* kind;
  /// in x in pixels of `channels` values each, to v.
  void (*input)(const T* x, int64_t row, int64_t pixel, int64_t channels, T* v, int64_t step);
  /// `count` values of each of 3 x 3 taps, to kinds x kinds numbers.
  void (*weights)(const T* w, int64_t step, int64_t count, T* u);
  /// `channels` sums, to results.
  void (*output)(const T* sum, int64_t step, int64_t channels, const OutputTile<T>& y);
  // The transposes of the last two, for the weight gradient; null if there are none.
  /// out x out gradients of `channels` values each.
  void (*output_back)(const T* dy, int64_t row, int64_t pixel, int64_t channels, T* sum,
                      int64_t step);
  /// To 3 x 3 gradients of weights; u and w may be the same.
  void (*weights_back)(const T* u, int64_t step, int64_t count, T* w);

  int64_t squared_numbers() const { return numbers * numbers; }
  int64_t squared_kinds() const { return kinds * kinds; }
};

/// Of any algorithm but direct, for the SIMD target in use.
template <class T>
Transforms<T> winograd_transforms(ConvAlgorithm algorithm);

}  // namespace cairn::kernels

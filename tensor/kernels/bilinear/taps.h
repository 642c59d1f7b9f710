// Where a sub-pixel position reads, the same on every device.
#pragma once

#include <cstdint>

namespace cairn::kernels {

/// The four neighbours of a position: rows of the H W x C matrix of pixels, and their weights.
template <class T>
struct Taps {
  int64_t pixel[4];
  T weight[4];
};

/// Splits a coordinate, clamped to [0, n - 1], into its two neighbours. NaN keeps the weights NaN.
template <class T>
constexpr void split_position(T v, int64_t n, int64_t& low, int64_t& high, T& fraction) {
  const T clamped = v < 0 ? T(0) : v > T(n - 1) ? T(n - 1) : v;
  low = clamped == clamped ? int64_t(clamped) : 0;
  low = low < n - 1 ? low : n - 1;
  high = low + 1 < n - 1 ? low + 1 : n - 1;
  fraction = clamped - T(low);
}

/// position: x, y.
template <class T>
constexpr Taps<T> taps(const T* position, int64_t h, int64_t w) {
  int64_t x0 = 0, x1 = 0, y0 = 0, y1 = 0;
  T fx = 0, fy = 0;
  split_position(position[0], w, x0, x1, fx);
  split_position(position[1], h, y0, y1, fy);
  return {{y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1},
          {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
}

}  // namespace cairn::kernels

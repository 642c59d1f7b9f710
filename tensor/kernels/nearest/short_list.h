// The candidates of one query, kept while the database goes by.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace cairn::kernels {

/// The best rows of one query so far: greatest score first, among equals the smallest index first.
/// The nearest row is among them unless more than `capacity` rows lie within rounding of it.
template <class T>
struct ShortList {
  static constexpr int capacity = 16;
  T score[capacity];
  int64_t index[capacity];
  int count = 0;
  T margin = 0;  ///< twice the rounding error that a score may have
  T threshold = -std::numeric_limits<T>::infinity();  ///< only scores above it may matter

  /// Rows come in ascending index; score > threshold.
  void insert(T s, int64_t row) {
    int at = count < capacity ? count++ : capacity - 1;
    for (; at > 0 && score[at - 1] < s; --at) {
      score[at] = score[at - 1];
      index[at] = index[at - 1];
    }
    score[at] = s;
    index[at] = row;
    if (count >= 2) threshold = std::max(threshold, score[1] - margin);
    if (count == capacity) threshold = std::max(threshold, score[capacity - 1]);
  }
};

/// The largest that is not NaN, at least 0.
template <class T>
T largest(const std::vector<T>& values) {
  T most = 0;
  for (T v : values)
    if (v > most) most = v;
  return most;
}

}  // namespace cairn::kernels

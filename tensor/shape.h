// The extent of a tensor along each axis, outermost first.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include "tensor/error.h"

namespace cairn {

/// At most six axes; any extent may be zero. A shape without axes is a scalar (one element).
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    require(rank_ <= max_rank, ErrorId::shape, "shape", "at most ", max_rank, " axes, not ", rank_);
    std::copy(dims.begin(), dims.end(), dims_.begin());
    for (int64_t d : *this) require(d >= 0, ErrorId::shape, "shape", "negative extent ", d);
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(wrap(axis))]; }
  int64_t& operator[](int axis) { return dims_[static_cast<size_t>(wrap(axis))]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }

  /// Number of elements; throws ErrorId::memory when it does not fit 63 bits.
  int64_t numel() const {
    int64_t n = 1;
    for (int64_t d : *this)
      require(!__builtin_mul_overflow(n, d, &n), ErrorId::memory, "shape", "too many elements");
    return n;
  }

  /// Turns axis -1 into the last one; throws ErrorId::index when there is no such axis.
  int wrap(int axis) const {
    const int a = axis < 0 ? axis + rank_ : axis;
    require(a >= 0 && a < rank_, ErrorId::index, "shape", "no axis ", axis, " among ", rank_);
    return a;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  /// Prints 2x3x5; a scalar prints as "scalar".
  friend std::ostream& operator<<(std::ostream& out, const Shape& s) {
    if (s.rank_ == 0) return out << "scalar";
    for (int i = 0; i < s.rank_; ++i) out << (i ? "x" : "") << s[i];
    return out;
  }

 private:
  std::array<int64_t, max_rank> dims_{};
  int rank_ = 0;
};

}  // namespace cairn

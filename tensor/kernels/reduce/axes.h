// Which axes a reduction sums, and the shape it leaves.
#pragma once

#include <array>
#include <vector>

#include "tensor/shape.h"

namespace cairn::kernels {

using AxisSet = std::array<bool, Shape::max_rank>;

/// The axes named, or all if none is. Throws ErrorId::index for an axis absent or named twice.
inline AxisSet summed_axes(const Shape& shape, const std::vector<int>& axes) {
  AxisSet set{};
  if (axes.empty()) std::fill_n(set.begin(), shape.rank(), true);
  for (int axis : axes) {
    const int a = axis < 0 ? axis + shape.rank() : axis;
    require(a >= 0 && a < shape.rank(), ErrorId::index, "sum", "no axis ", axis, " in ", shape);
    require(!set[size_t(a)], ErrorId::index, "sum", "axis ", axis, " of ", shape, " named twice");
    set[size_t(a)] = true;
  }
  return set;
}

inline Shape reduced_shape(const Shape& shape, const AxisSet& summed, bool keep) {
  std::vector<int64_t> dims;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!summed[size_t(axis)])
      dims.push_back(shape[axis]);
    else if (keep)
      dims.push_back(1);
  }
  return Shape(dims);
}

}  // namespace cairn::kernels

// Comparing tensors so that NaN always fails.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/tensor.h"

namespace cairn {

/// The largest |a - b| / max(1, |b|) over all elements (`relative_to_max`: / max over all finite
/// |b|); infinity when a shape differs or an element is NaN, even in both. Equal infinities agree.
inline double difference(const Tensor& a, const Tensor& b, bool relative_to_max = false) {
  if (!(a.shape() == b.shape())) return INFINITY;
  const auto va = a.to_vector(), vb = b.to_vector();
  double largest = 0, worst = 0;
  for (double v : vb)
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  for (size_t i = 0; i < va.size(); ++i) {
    if (va[i] == vb[i]) continue;
    const double scale =
        relative_to_max ? std::max(largest, 1e-300) : std::max(1.0, std::fabs(vb[i]));
    const double d = std::fabs(va[i] - vb[i]) / scale;
    if (d != d) return INFINITY;
    worst = std::max(worst, d);
  }
  return worst;
}

/// True when the bytes of two tensors are the same.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::equal(static_cast<const char*>(a.raw()),
                    static_cast<const char*>(a.raw()) + a.nbytes(),
                    static_cast<const char*>(b.raw()));
}

}  // namespace cairn

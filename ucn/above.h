// A scan of similarities for the few that are high.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cairn::ucn {

/// Calls f(k), in order, for each k in 0..n-1 with values[k] > limit; f may raise the limit. Most
/// blocks hold none, which a comparison of the whole block tells.
template <class F>
void for_each_above(const float* values, int64_t n, const float& limit, F f) {
  constexpr int64_t block = 32;
  for (int64_t begin = 0; begin < n; begin += block) {
    const float* v = values + begin;
    const int64_t count = std::min(block, n - begin);
    if (count == block) {
      int any = 0;
      for (int64_t k = 0; k < block; ++k) any |= v[k] > limit;
      if (!any) continue;
    }
    for (int64_t k = 0; k < count; ++k)
      if (v[k] > limit) f(begin + k);
  }
}

}  // namespace cairn::ucn

#include "data/pairs.h"

#include <algorithm>

namespace cairn {

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Tensor network_input(Tensor picture) {
  for (float& v : picture.span<float>()) v = v / 255.f - 0.5f;
  return picture;
}

void set_positions(Pair& pair, const std::vector<std::array<double, 4>>& matches, int64_t most,
                   Random& random) {
  const auto found = int64_t(matches.size());
  const bool all = most == 0 || most >= found;
  const int64_t count = all ? found : most;
  std::vector<int64_t> chosen;
  if (!all) chosen = sample_without_replacement(found, count, random);
  pair.positions0 = Tensor::empty({count, 2}, DType::f64);
  pair.positions1 = Tensor::empty({count, 2}, DType::f64);
  double *p0 = pair.positions0.data<double>(), *p1 = pair.positions1.data<double>();
  for (int64_t i = 0; i < count; ++i) {
    const auto& m = matches[size_t(all ? i : chosen[size_t(i)])];
    std::copy(m.begin(), m.begin() + 2, p0 + 2 * i);
    std::copy(m.begin() + 2, m.end(), p1 + 2 * i);
  }
}

}  // namespace cairn

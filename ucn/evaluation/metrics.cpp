#include "ucn/evaluation/metrics.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "tensor/random.h"

namespace cairn::ucn {
namespace {

double degrees(double cosine) {
  return std::acos(std::clamp(cosine, -1.0, 1.0)) * 180 / std::numbers::pi;
}

}  // namespace

std::array<double, 10> matching_accuracy(std::span<const PointPair> matches,
                                         const Homography& truth) {
  std::array<double, 10> share{};
  for (const PointPair& m : matches) {
    const auto [x, y] = apply(truth, m.x0, m.y0);
    const double error = std::hypot(x - m.x1, y - m.y1);
    for (size_t t = 0; t < share.size(); ++t) share[t] += error <= double(t + 1);
  }
  for (double& s : share) s /= std::max(1.0, double(matches.size()));
  return share;
}

double corner_error(const Homography& estimate, const Homography& truth, double width,
                    double height) {
  double sum = 0;
  for (const double x : {0.0, width})
    for (const double y : {0.0, height}) {
      const Point a = apply(estimate, x, y), b = apply(truth, x, y);
      sum += std::hypot(a[0] - b[0], a[1] - b[1]) / 4;
    }
  return sum == sum ? sum : INFINITY;
}

double pose_error(const RelativePose& estimate, const RelativePose& truth) {
  double trace = 0, dot = 0, a = 0, b = 0;
  for (size_t k = 0; k < 9; ++k) trace += estimate.rotation[k] * truth.rotation[k];
  for (size_t k = 0; k < 3; ++k) {
    dot += estimate.translation[k] * truth.translation[k];
    a += estimate.translation[k] * estimate.translation[k];
    b += truth.translation[k] * truth.translation[k];
  }
  const double translation = a > 0 && b > 0 ? degrees(std::abs(dot) / std::sqrt(a * b)) : 0;
  return std::max(degrees((trace - 1) / 2), translation);
}

double area_under_curve(std::vector<double> errors, double threshold) {
  if (errors.empty()) return 0;
  std::ranges::sort(errors);
  // The curve goes through (0, 0) and (k-th error, k / n), and ends level at the threshold.
  const double n = double(errors.size());
  double area = 0, x = 0, y = 0;
  for (size_t k = 0; k < errors.size() && errors[k] < threshold; ++k) {
    const double next = double(k + 1) / n;
    area += (errors[k] - x) * (y + next) / 2;
    x = errors[k];
    y = next;
  }
  return (area + (threshold - x) * y) / threshold;
}

std::array<double, 2> bootstrap(int64_t n, int64_t samples,
                                const std::function<double(std::span<const int64_t>)>& statistic) {
  if (n == 0 || samples == 0) return {NAN, NAN};
  Random random(0);
  std::vector<double> values;
  std::vector<int64_t> drawn(static_cast<size_t>(n));
  for (int64_t k = 0; k < samples; ++k) {
    for (int64_t& d : drawn) d = random.below(n);
    values.push_back(statistic(drawn));
  }
  std::ranges::sort(values);
  const auto at = [&](double share) {
    return values[size_t(std::llround(share * double(samples - 1)))];
  };
  return {at(0.025), at(0.975)};
}

}  // namespace cairn::ucn

#include "ucn/local_support.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace cairn::ucn {
namespace {

/// From one match to another: in photo 0 and in photo 1, in longer sides of each.
struct Step {
  double x0, y0, x1, y1;
  double length0() const { return std::hypot(x0, y0); }
  double length1() const { return std::hypot(x1, y1); }
};
Step operator-(const Step& a, const Step& b) {
  return {a.x0 - b.x0, a.y0 - b.y0, a.x1 - b.x1, a.y1 - b.y1};
}

/// Others near the match at `centre`, the nearest first, none near another.
std::vector<Step> neighbours_of(const Step& centre, const std::vector<Step>& matches, double radius,
                                const LocalSupportOptions& o) {
  std::vector<std::pair<double, Step>> near;
  for (const Step& m : matches) {
    const Step s = m - centre;
    const double a = s.length0(), b = s.length1();
    if (std::min(a, b) < radius && std::max(a, b) < 2 * radius && std::min(a, b) >= o.apart)
      near.push_back({a + b, s});
  }
  std::ranges::stable_sort(near, {}, &std::pair<double, Step>::first);
  std::vector<Step> chosen;
  for (const auto& [distance, s] : near) {
    const auto close = [&](const Step& c) {
      const Step d = s - c;
      return std::min(d.length0(), d.length1()) < o.apart;
    };
    if (std::ranges::none_of(chosen, close)) chosen.push_back(s);
    if (int64_t(chosen.size()) == o.neighbours) break;
  }
  return chosen;
}

/// The linear map that takes the steps a and b in photo 0 to those in photo 1, where it is one that
/// a smooth surface seen twice may give.
class LocalMap {
 public:
  LocalMap(const Step& a, const Step& b) {
    const double det = a.x0 * b.y0 - a.y0 * b.x0, det1 = a.x1 * b.y1 - a.y1 * b.x1;
    // No map is known from steps in about one direction.
    constexpr double least_sine = 0.3;
    if (std::abs(det) < least_sine * a.length0() * b.length0() ||
        std::abs(det1) < least_sine * a.length1() * b.length1())
      return;
    xx_ = (a.x1 * b.y0 - b.x1 * a.y0) / det;
    xy_ = (b.x1 * a.x0 - a.x1 * b.x0) / det;
    yx_ = (a.y1 * b.y0 - b.y1 * a.y0) / det;
    yy_ = (b.y1 * a.x0 - a.y1 * b.x0) / det;
    area_ = det1 / det;
    if (!(area_ > 1.0 / 9 && area_ < 9)) return;
    // The ratio of the singular values is at most q where their squares' sum is at most (q + 1/q)
    // times their product.
    constexpr double most_squeezed = 4;
    const double squares = xx_ * xx_ + xy_ * xy_ + yx_ * yx_ + yy_ * yy_;
    plausible_ = squares <= (most_squeezed + 1 / most_squeezed) * area_;
  }
  bool plausible() const { return plausible_; }
  /// Whether a step ends where the map takes it, seen from either photo.
  bool takes(const Step& s, double tolerance) const {
    const double dx = xx_ * s.x0 + xy_ * s.y0 - s.x1, dy = yx_ * s.x0 + yy_ * s.y0 - s.y1;
    const double limit = tolerance * tolerance;
    if (!(dx * dx + dy * dy < limit)) return false;
    const double bx = (yy_ * dx - xy_ * dy) / area_, by = (xx_ * dy - yx_ * dx) / area_;
    return bx * bx + by * by < limit;
  }

 private:
  double xx_ = 0, xy_ = 0, yx_ = 0, yy_ = 0, area_ = 0;
  bool plausible_ = false;
};

bool supported(const std::vector<Step>& neighbours, const LocalSupportOptions& o) {
  const size_t n = neighbours.size();
  for (size_t b = 1; b < n; ++b)
    for (size_t a = 0; a < b; ++a) {
      const LocalMap map(neighbours[a], neighbours[b]);
      if (!map.plausible()) continue;
      int64_t agree = 0;
      for (size_t k = 0; k < n && agree < o.least; ++k)
        agree += k != a && k != b && map.takes(neighbours[k], o.tolerance);
      if (agree >= o.least) return true;
    }
  return false;
}

}  // namespace

std::vector<bool> locally_supported(std::span<const PointPair> matches, double extent0,
                                    double extent1, const LocalSupportOptions& o) {
  const auto n = int64_t(matches.size());
  std::vector<Step> places;
  // Few matches have few neighbours, and fewer by chance: some ten are looked for in a photo of 4
  // : 3.
  const double radius = std::max(o.radius, 1.5 / std::sqrt(double(n)));
  constexpr double least_extent = 160;
  extent0 = std::max(extent0, least_extent);
  extent1 = std::max(extent1, least_extent);
  for (const PointPair& m : matches)
    places.push_back({m.x0 / extent0, m.y0 / extent0, m.x1 / extent1, m.y1 / extent1});
  std::vector<char> result(matches.size());  // not bits: threads write side by side
  parallel_for(n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      result[size_t(k)] = supported(neighbours_of(places[size_t(k)], places, radius, o), o);
  });
  return {result.begin(), result.end()};
}

}  // namespace cairn::ucn

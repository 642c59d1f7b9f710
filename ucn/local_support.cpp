#include "ucn/local_support.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace cairn::ucn {
namespace {

/// From one match to another: in photo 0 and in photo 1, in longer sides of each.
struct Step {
  Point in0, in1;
};
Point operator-(const Point& a, const Point& b) { return {a[0] - b[0], a[1] - b[1]}; }
Step operator-(const Step& a, const Step& b) { return {a.in0 - b.in0, a.in1 - b.in1}; }
double length(const Point& p) { return std::sqrt(p[0] * p[0] + p[1] * p[1]); }
double cross(const Point& a, const Point& b) { return a[0] * b[1] - a[1] * b[0]; }

/// Others near the match at `centre`, the nearest first, none near another.
std::vector<Step> neighbours_of(const Step& centre, const std::vector<Step>& matches, double radius,
                                const LocalSupportOptions& o) {
  const auto outside = [&](const Point& p) {  // before roots are drawn of thousands
    return std::max(std::abs(p[0]), std::abs(p[1])) >= 2 * radius;
  };
  std::vector<std::pair<double, Step>> near;
  for (const Step& m : matches) {
    const Step s = m - centre;
    if (outside(s.in0) || outside(s.in1)) continue;
    const auto [less, more] = std::minmax({length(s.in0), length(s.in1)});
    if (less < radius && more < 2 * radius && less >= o.apart) near.push_back({less + more, s});
  }
  std::ranges::stable_sort(near, {}, &std::pair<double, Step>::first);
  std::vector<Step> chosen;
  for (const auto& entry : near) {
    const Step& s = entry.second;
    const auto close = [&](const Step& c) {
      const Step d = s - c;
      return std::min(length(d.in0), length(d.in1)) < o.apart;
    };
    if (std::ranges::none_of(chosen, close)) chosen.push_back(s);
    if (int64_t(chosen.size()) == o.neighbours) break;
  }
  return chosen;
}

/// The linear map that takes a to a1 and b to b1.
class LinearMap {
 public:
  LinearMap(const Point& a, const Point& b, const Point& a1, const Point& b1) {
    const double det = cross(a, b);
    for (size_t i = 0; i < 2; ++i)
      rows_[i] = {(a1[i] * b[1] - b1[i] * a[1]) / det, (b1[i] * a[0] - a1[i] * b[0]) / det};
  }
  bool takes(const Point& from, const Point& to, double tolerance) const {
    const double dx = rows_[0][0] * from[0] + rows_[0][1] * from[1] - to[0];
    const double dy = rows_[1][0] * from[0] + rows_[1][1] * from[1] - to[1];
    return dx * dx + dy * dy < tolerance * tolerance;
  }
  double area() const { return cross(rows_[0], rows_[1]); }
  /// Whether the larger singular value is at most q times the smaller: their squares' sum is then
  /// at most (q + 1/q) times their product.
  bool squeezes_at_most(double q) const {
    const auto [xx, xy] = rows_[0];
    const auto [yx, yy] = rows_[1];
    return xx * xx + xy * xy + yx * yx + yy * yy <= (q + 1 / q) * std::abs(area());
  }

 private:
  Point rows_[2];
};

/// Whether two steps point in directions more than 17 degrees apart: others tell no map.
bool spread(const Point& a, const Point& b) {
  return std::abs(cross(a, b)) > 0.3 * length(a) * length(b);
}

/// `scale`: px of photo 1's longer side to photo 0's.
bool supported(const std::vector<Step>& neighbours, double scale, const LocalSupportOptions& o) {
  for (size_t k = 1; k < neighbours.size(); ++k)
    for (size_t l = 0; l < k; ++l) {
      const Step &a = neighbours[l], &b = neighbours[k];
      if (!spread(a.in0, b.in0) || !spread(a.in1, b.in1)) continue;
      const LinearMap forth(a.in0, b.in0, a.in1, b.in1);
      const double area = forth.area() * scale * scale;  // px to px
      if (!(area > 1.0 / 9 && area < 9 && forth.squeezes_at_most(4))) continue;
      // Both ways, so that swapping the photos changes nothing.
      const LinearMap back(a.in1, b.in1, a.in0, b.in0);
      int64_t agree = 0;
      for (size_t i = 0; i < neighbours.size() && agree < o.least; ++i)
        agree += i != k && i != l &&
                 forth.takes(neighbours[i].in0, neighbours[i].in1, o.tolerance) &&
                 back.takes(neighbours[i].in1, neighbours[i].in0, o.tolerance);
      if (agree >= o.least) return true;
    }
  return false;
}

}  // namespace

std::vector<bool> locally_supported(std::span<const PointPair> matches, double extent0,
                                    double extent1, const LocalSupportOptions& o) {
  const auto n = int64_t(matches.size());
  // Few matches have few neighbours, and fewer that agree by chance: a neighbourhood that holds
  // some ten of them.
  const double radius = std::max(o.radius, 1.5 / std::sqrt(double(n)));
  constexpr double least_extent = 160;
  extent0 = std::max(extent0, least_extent);
  extent1 = std::max(extent1, least_extent);
  std::vector<Step> places;
  for (const PointPair& m : matches)
    places.push_back({{m.x0 / extent0, m.y0 / extent0}, {m.x1 / extent1, m.y1 / extent1}});
  std::vector<char> result(matches.size());  // not bits: threads write side by side
  parallel_for(n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      result[size_t(k)] =
          supported(neighbours_of(places[size_t(k)], places, radius, o), extent1 / extent0, o);
  });
  return {result.begin(), result.end()};
}

}  // namespace cairn::ucn

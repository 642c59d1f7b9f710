#include "data/geometry/bend.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace cairn {
namespace {

constexpr int64_t spacing = 8;  // of the nodes, px
constexpr int side = 5;         // of the grid of weights

/// r^2 log r^2, the spline's kernel, of a squared distance.
double kernel(double r2) { return r2 > 0 ? r2 * std::log(r2) : 0; }

/// Takes from values on a grid whose places are (x, y) what is constant or proportional to x or y.
/// Both must have mean zero and no product in common, as on any grid about its middle.
void remove_affine(std::vector<double>& values, const std::vector<Point>& places) {
  double sum = 0, with_x = 0, with_y = 0, xx = 0, yy = 0;
  for (size_t k = 0; k < values.size(); ++k) {
    sum += values[k];
    with_x += values[k] * places[k][0];
    with_y += values[k] * places[k][1];
    xx += places[k][0] * places[k][0];
    yy += places[k][1] * places[k][1];
  }
  for (size_t k = 0; k < values.size(); ++k)
    values[k] -=
        sum / double(values.size()) + with_x / xx * places[k][0] + with_y / yy * places[k][1];
}

std::vector<Point> grid(int64_t rows, int64_t columns, double step_y, double step_x) {
  std::vector<Point> places;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      places.push_back({(double(j) - double(columns - 1) / 2) * step_x,
                        (double(i) - double(rows - 1) / 2) * step_y});
  return places;
}

}  // namespace

Bend::Bend(int64_t height, int64_t width, double strength, Random& random) {
  require(height >= 1 && width >= 1 && strength >= 0 && strength < 1, ErrorId::argument, "bend",
          "a view of ", height, " x ", width, " bent by ", strength, ", not from 0 to below 1");
  rows_ = (height - 1) / spacing + 2;
  columns_ = (width - 1) / spacing + 2;
  const auto nodes = grid(rows_, columns_, 1, 1);  // in steps of the nodes
  const auto knots =
      grid(side, side, double(rows_ - 1) / (side - 1), double(columns_ - 1) / (side - 1));
  shifts_.resize(nodes.size());
  for (size_t axis = 0; axis < 2; ++axis) {
    std::vector<double> weights(knots.size()), field(nodes.size());
    for (double& w : weights) w = random.normal();
    remove_affine(weights, knots);  // the spline's side conditions
    for (size_t n = 0; n < nodes.size(); ++n)
      for (size_t k = 0; k < knots.size(); ++k) {
        const double dx = nodes[n][0] - knots[k][0], dy = nodes[n][1] - knots[k][1];
        field[n] += weights[k] * kernel(dx * dx + dy * dy);
      }
    remove_affine(field, nodes);
    for (size_t n = 0; n < nodes.size(); ++n) shifts_[n][axis] = field[n];
  }
  // Between nodes the Jacobian's columns are means of differences of neighbours.
  double across = 0, down = 0;
  const auto length2 = [&](size_t a, size_t b) {
    const double dx = shifts_[a][0] - shifts_[b][0], dy = shifts_[a][1] - shifts_[b][1];
    return dx * dx + dy * dy;
  };
  for (int64_t i = 0; i < rows_; ++i)
    for (int64_t j = 0; j < columns_; ++j) {
      const auto n = size_t(i * columns_ + j);
      if (j + 1 < columns_) across = std::max(across, length2(n, n + 1));
      if (i + 1 < rows_) down = std::max(down, length2(n, n + size_t(columns_)));
    }
  const double most = std::sqrt(across + down), size = most > 0 ? strength * spacing / most : 0;
  for (Point& s : shifts_) s = {s[0] * size, s[1] * size};
}

Point Bend::operator()(double x, double y) const {
  if (straight()) return {x, y};
  const auto along = [](double v, int64_t nodes, int64_t& first) {
    const double at = v > 0 ? std::min(v / spacing, double(nodes - 1)) : 0;  // NaN: the first
    first = std::min(int64_t(at), nodes - 2);
    return at - double(first);
  };
  int64_t i, j;
  const double u = along(x, columns_, j), v = along(y, rows_, i);
  const Point* a = shifts_.data() + i * columns_ + j;
  const Point* b = a + columns_;
  Point place{x, y};
  for (size_t k = 0; k < 2; ++k)
    place[k] += (1 - v) * ((1 - u) * a[0][k] + u * a[1][k]) + v * ((1 - u) * b[0][k] + u * b[1][k]);
  return place;
}

Point Bend::back(double x, double y) const {
  if (straight()) return {x, y};
  // x = q + shift(q) is solved by q <- x - shift(q), which contracts by the strength.
  Point q{x, y};
  for (int round = 0; round < 1000; ++round) {
    const Point shown = (*this)(q[0], q[1]);
    const double dx = x - shown[0], dy = y - shown[1];
    q = {q[0] + dx, q[1] + dy};
    if (!(std::hypot(dx, dy) >= 1e-10)) break;
  }
  return q;
}

}  // namespace cairn

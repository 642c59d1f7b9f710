#include "data/geometry/bend.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/geometry/views.h"
#include "tensor/error.h"

using namespace cairn;

namespace {

constexpr int64_t height = 97, width = 160;

double distance(const Point& a, const Point& b) { return std::hypot(a[0] - b[0], a[1] - b[1]); }

}  // namespace

TEST_CASE("without a bend every place stays") {
  const Bend none;
  CHECK(none.straight());
  CHECK(none(3.25, 7) == Point{3.25, 7});
  CHECK(none.back(-3, 700) == Point{-3, 700});
}

TEST_CASE("a bend leads back to where it came from, beyond the border too") {
  for (const double strength : {0.0, 0.3, 0.95}) {
    Random random(4);
    const Bend bend(height, width, strength, random);
    CHECK_FALSE(bend.straight());
    CHECK_FALSE(std::isfinite(bend(NAN, INFINITY)[0]));
    CHECK(std::isnan(bend.back(INFINITY, 0)[0]));  // what lies on a horizon has no place
    for (double y = -20; y < double(height) + 20; y += 3.7)
      for (double x = -20; x < double(width) + 20; x += 5.3) {
        const Point q = bend.back(x, y);
        CHECK(distance(bend(q[0], q[1]), {x, y}) < 1e-9);
      }
  }
}

TEST_CASE("small parts change as much as its strength says and no more, and nothing folds") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const Bend bend(height, width, 0.4, random);
    double most = 0;
    const double d = 1e-3;
    for (double y = 0.5; y < double(height - 1); y += 1)
      for (double x = 0.5; x < double(width - 1); x += 1) {
        const Point p = bend(x, y), right = bend(x + d, y), below = bend(x, y + d);
        const double xx = (right[0] - p[0]) / d, yx = (right[1] - p[1]) / d,
                     xy = (below[0] - p[0]) / d, yy = (below[1] - p[1]) / d;
        most = std::max(most, std::hypot(std::hypot(xx - 1, yx), std::hypot(xy, yy - 1)));
        CHECK(xx * yy - xy * yx > 0);
      }
    CHECK(most < 0.4 + 1e-6);
    CHECK(most > 0.2);
  }
}

TEST_CASE("on the whole it neither moves, turns nor scales a view") {
  Random random(1);
  const Bend bend(height, width, 0.5, random);
  double sum_x = 0, sum_y = 0, turn = 0, zoom = 0, size = 0;
  for (double y = 0; y < double(height); ++y)
    for (double x = 0; x < double(width); ++x) {
      const double u = x - double(width - 1) / 2, v = y - double(height - 1) / 2;
      const Point p = bend(x, y);
      const double dx = p[0] - x, dy = p[1] - y;
      sum_x += dx;
      sum_y += dy;
      turn += u * dy - v * dx;
      zoom += u * dx + v * dy;
      size += u * u + v * v;
    }
  const double n = double(height * width);
  CHECK(std::fabs(sum_x / n) < 0.5);  // px; nodes reach beyond the border by less than their step
  CHECK(std::fabs(sum_y / n) < 0.5);
  CHECK(std::fabs(turn / size) < 0.02);
  CHECK(std::fabs(zoom / size) < 0.02);
}

TEST_CASE("a strength at which views would fold is refused") {
  Random random(0);
  CHECK_THROWS_AS(Bend(height, width, 1, random), Error);
  CHECK_THROWS_AS(Bend(height, width, -0.1, random), Error);
  CHECK_THROWS_AS(Bend(height, width, NAN, random), Error);
  CHECK_THROWS_AS(sample_views(300, 300, {.difficulty = 2, .bend = 0.5}, random), Error);
}

TEST_CASE("views are drawn as before where no bend is asked for") {
  Random a(7), b(7);
  const Views straight = sample_views(300, 400, {}, a),
              bent = sample_views(300, 400, {.bend = 0.3}, b);
  CHECK(straight.bend.straight());
  CHECK_FALSE(bent.bend.straight());
  CHECK(straight.view1_to_photo == bent.view1_to_photo);
  Bend(128, 128, 0.3, (a.uniform(), a));  // all that is drawn more
  CHECK(a.position() == b.position());
}

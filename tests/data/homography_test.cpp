#include "data/geometry/homography.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "data/geometry/views.h"
#include "tensor/error.h"

using namespace cairn;

namespace {

const Homography bent = {1.1, -0.2, 30, 0.3, 0.9, -12, 1e-3, -2e-3, 1};

double distance(Point a, Point b) { return std::hypot(a[0] - b[0], a[1] - b[1]); }

/// Corners of the pixels' area, outer halves included.
std::array<Point, 4> corners(const ViewOptions& o) {
  const double r = double(o.width) - 0.5, b = double(o.height) - 0.5;
  return {Point{-0.5, -0.5}, Point{r, -0.5}, Point{-0.5, b}, Point{r, b}};
}

}  // namespace

TEST_CASE("the parts do what their names say: x right, y down, angles from x to y") {
  CHECK(apply(identity_homography(), 3, 4) == Point{3, 4});
  CHECK(apply(translation(1, -2), 3, 4) == Point{4, 2});
  CHECK(apply(scaling(2, 0.5), 3, 4) == Point{6, 2});
  CHECK(distance(apply(rotation(std::numbers::pi / 2), 1, 0), {0, 1}) < 1e-15);
  CHECK(apply({1, 0, 0, 0, 1, 0, 1, 0, 1}, 1, 4) == Point{0.5, 2});
}

TEST_CASE("compose applies the second argument first, and the inverse undoes") {
  const auto [x, y] = apply(bent, 5, 7);
  CHECK(distance(apply(compose(scaling(2, 3), bent), 5, 7), {2 * x, 3 * y}) < 1e-12);
  CHECK(distance(apply(inverse(bent), x, y), {5, 7}) < 1e-12);
  const Homography one = compose(inverse(bent), bent);
  for (size_t i = 0; i < 9; ++i) CHECK(std::fabs(one[i] / one[8] - (i % 4 == 0)) < 1e-12);
  CHECK_THROWS_AS(inverse({1, 2, 3, 2, 4, 6, 0, 0, 1}), Error);
  CHECK_THROWS_AS(inverse({NAN, 0, 0, 0, 1, 0, 0, 0, 1}), Error);
}

TEST_CASE("local_scale is the largest growth of a short step in any direction") {
  CHECK(local_scale(scaling(2, 3), 10, 20) == doctest::Approx(3));
  CHECK(local_scale(rotation(0.7), 1, 2) == doctest::Approx(1));
  double largest = 0;
  for (int i = 0; i < 720; ++i) {
    const double a = i * std::numbers::pi / 720, e = 1e-5;
    const auto p = apply(bent, 40 + e * std::cos(a), 50 + e * std::sin(a));
    const auto q = apply(bent, 40 - e * std::cos(a), 50 - e * std::sin(a));
    largest = std::max(largest, distance(p, q) / (2 * e));
  }
  CHECK(local_scale(bent, 40, 50) == doctest::Approx(largest).epsilon(1e-5));
}

TEST_CASE("both views lie inside the photo and overlap, whatever the photo, at any difficulty") {
  for (const double difficulty : {0.0, 0.5, 1.0, 2.0})
    for (const auto& photo : {std::pair{640, 480}, {2000, 300}, {90, 70}, {16, 400}, {8, 8}})
      for (uint64_t seed = 0; seed < 40; ++seed) {
        const auto [w, h] = photo;
        Random random(seed, 5);
        ViewOptions o;
        o.difficulty = difficulty;
        o.height = 96;
        const Views v = sample_views(h, w, o, random);
        INFO("photo ", photo.first, " x ", photo.second, ", seed ", seed);
        for (const auto& view : {v.view0_to_photo, v.view1_to_photo}) {
          // The coarsest level that warp() may take has pixels of this size, half of one beyond.
          const double room = std::max(1.0, 1.5 * local_scale(view, 63.5, 47.5)) - 1e-6;
          for (const auto& [x, y] : corners(o)) {
            const auto [px, py] = apply(view, x, y);
            CHECK((px >= room && px <= w - 1 - room));
            CHECK((py >= room && py <= h - 1 - room));
            CHECK(view[6] * x + view[7] * y + view[8] > 0);  // the horizon is not in view
          }
        }
        // The overlap, counted over all pixels, is what was asked for (the grid is coarser).
        const Homography map = compose(inverse(v.view1_to_photo), v.view0_to_photo);
        int inside = 0;
        for (int y = 0; y < o.height; ++y)
          for (int x = 0; x < o.width; ++x) {
            const auto [px, py] = apply(map, x, y);
            inside += px >= 0 && py >= 0 && px < double(o.width) && py < double(o.height);
          }
        CHECK(inside >= (o.min_overlap - 0.06) * double(o.width * o.height));
      }
}

TEST_CASE("views differ as much as the options allow, and not at all without difficulty") {
  ViewOptions o;
  double angle = 0, larger = 0, smaller = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const Views v = sample_views(480, 640, o, random);
    CHECK(v.overlap >= o.min_overlap);
    const Homography map = compose(inverse(v.view1_to_photo), v.view0_to_photo);
    const auto p = apply(map, 63.5, 63.5), q = apply(map, 64.5, 63.5);
    angle = std::max(angle, std::fabs(std::atan2(q[1] - p[1], q[0] - p[0])));
    const double scale = std::log2(distance(p, q));
    larger = std::max(larger, scale);
    smaller = std::min(smaller, scale);
  }
  CHECK(angle > 25 * std::numbers::pi / 180);
  CHECK(angle < 70 * std::numbers::pi / 180);  // 45, and what the stretches add
  CHECK(larger > 0.5);
  CHECK(smaller < -0.7);

  // Turned by any angle at most, and by more than a quarter often.
  o.rotation = 180;
  int quarters = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const Views v = sample_views(480, 640, o, random);
    const Homography map = compose(inverse(v.view1_to_photo), v.view0_to_photo);
    const auto p = apply(map, 63.5, 63.5), q = apply(map, 64.5, 63.5);
    quarters += std::fabs(std::atan2(q[1] - p[1], q[0] - p[0])) > std::numbers::pi / 2;
  }
  CHECK(quarters > 45);
  CHECK(quarters < 105);  // a quarter of them: the difference of two uniform angles

  o.difficulty = 0;
  Random random(3);
  const Views v = sample_views(480, 640, o, random);
  CHECK(v.overlap == 1);
  CHECK(distance(apply(v.view0_to_photo, 9, 70), apply(v.view1_to_photo, 9, 70)) < 1e-9);
}

TEST_CASE("options that make no sense are refused") {
  Random random(1);
  const auto refused = [&](auto change) {
    ViewOptions o;
    change(o);
    CHECK_THROWS_AS(sample_views(100, 100, o, random), Error);
  };
  refused([](auto& o) { o.width = 4; });
  refused([](auto& o) { o.difficulty = -1; });
  refused([](auto& o) { o.scale = 0.5; });
  refused([](auto& o) { o.perspective = 1; });
  refused([](auto& o) { o.min_coverage = 0; });
  refused([](auto& o) { o.min_overlap = 1.5; });
  refused([](auto& o) { o.rotation = NAN; });
  refused([](auto& o) { o.rotation = 1e308; });
  CHECK_THROWS_AS(sample_views(7, 100, {}, random), Error);
}

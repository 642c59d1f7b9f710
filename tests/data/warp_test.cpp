#include "data/warp.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/compare.h"

using namespace cairn;

namespace {

Tensor image(int64_t h, int64_t w, auto value, int64_t c = 1) {
  Tensor t = Tensor::empty({h, w, c}, DType::f32);
  for (int64_t i = 0; i < t.numel(); ++i)
    t.data<float>()[i] = float(value(double(i / c % w), double(i / c / w), i % c));
  return t.to(DType::u8);
}

const auto ramp = [](double x, double y, int64_t) { return 2 * x + y; };

}  // namespace

TEST_CASE("each level is the mean of four, and pixel x of level l lies at (x + 0.5) 2^l - 0.5") {
  const Pyramid p(image(65, 67, ramp));
  REQUIRE(p.levels().size() == 4);  // 65, 32, 16, 8
  CHECK(p.levels()[3].shape() == Shape{8, 8, 1});
  for (size_t l = 0; l < 4; ++l) {
    const double size = double(1 << l);
    const auto at = [&](int64_t i) { return (double(i) + 0.5) * size - 0.5; };
    const double seen = p.levels()[l].data<uint8_t>()[2 * p.levels()[l].dim(1) + 5];
    CHECK(std::fabs(seen - (2 * at(5) + at(2))) <= 1.5);  // each level rounds
  }
  CHECK(p.nbytes() == 65 * 67 + 33 * 32 + 16 * 16 + 8 * 8);
}

TEST_CASE("the identity shows the image, a shift by whole pixels shifts, a border goes on") {
  const Tensor t = image(
      20, 30, [](double x, double y, int64_t c) { return x * 7 + y * 3 + double(c) * 20; }, 3);
  const Pyramid p(t);
  CHECK(difference(warp(p, identity_homography(), 20, 30), t.to(DType::f32)) == 0);
  const Tensor shifted = warp(p, translation(4, 2), 20, 30);
  const auto at = [&](const Tensor& im, int64_t x, int64_t y) {
    return im.to_vector()[size_t((y * 30 + x) * 3 + 1)];
  };
  CHECK(at(shifted, 0, 0) == at(t, 4, 2));
  CHECK(at(shifted, 25, 17) == at(t, 29, 19));
  CHECK(at(shifted, 29, 19) == at(t, 29, 19));  // beyond the border is the border
}

TEST_CASE("a ramp is followed exactly between pixels, at every scale and level") {
  const Pyramid p(image(80, 80, ramp));
  for (const double scale : {0.3, 0.9, 1.3, 2.0, 3.7}) {
    const Homography h =
        compose(translation(20.3, 25.6),
                compose(scaling(scale, scale), compose(rotation(0.4), translation(-3.5, -3.5))));
    const Tensor view = warp(p, h, 8, 8);
    for (int64_t y = 0; y < 8; ++y)
      for (int64_t x = 0; x < 8; ++x) {
        const auto [px, py] = apply(h, double(x), double(y));
        CHECK(std::fabs(view.data<float>()[y * 8 + x] - (2 * px + py)) < 0.6);  // a level rounds up
      }
  }
}

TEST_CASE("shrinking does not alias: stripes of one pixel become gray") {
  const Pyramid p(image(256, 256, [](double x, double, int64_t) { return int(x) % 2 ? 200 : 0; }));
  for (const double scale : {2.0, 3.1, 5.3, 8.0}) {
    const Tensor view = warp(p, compose(translation(3, 3), scaling(scale, scale)), 24, 24);
    for (const float v : view.span<float>()) CHECK(std::fabs(v - 100) < 15);
  }
}

TEST_CASE("a view from beyond the horizon is odd, but stays inside the image's memory and values") {
  const Pyramid p(image(20, 20, ramp));
  const Tensor view = warp(p, {1, 0, 0, 0, 1, 0, 0.1, 0, -0.5}, 16, 16);
  for (const float v : view.span<float>()) CHECK((v >= 0 && v <= 57));
  CHECK_THROWS_AS(warp(Pyramid(), identity_homography(), 4, 4), Error);
}

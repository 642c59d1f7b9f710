#include "data/draw.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/compare.h"
#include "tests/data/sample_files.h"

using namespace cairn;

namespace {

Tensor black(int64_t h, int64_t w) { return Tensor::zeros({h, w, 3}, DType::u8); }

int red(const Tensor& t, int64_t x, int64_t y) { return t.data<uint8_t>()[(y * t.dim(1) + x) * 3]; }

/// What was drawn in white, in whole pixels.
double area(const Tensor& t) {
  double sum = 0;
  for (const uint8_t v : t.span<uint8_t>()) sum += v;
  return sum / 3 / 255;
}

constexpr Color white = {255, 255, 255};

}  // namespace

TEST_CASE("a disc has its area and its place, and soft edges") {
  Tensor t = black(40, 50);
  draw_disc_(t, 20.25, 15.5, 6, white);
  CHECK(area(t) == doctest::Approx(M_PI * 36).epsilon(0.02));
  CHECK(red(t, 20, 15) == 255);
  CHECK(red(t, 20, 25) == 0);
  Tensor colored = black(9, 9);
  draw_disc_(colored, 4, 4, 2, {10, 20, 30});
  const uint8_t* pixel = colored.data<uint8_t>() + (4 * 9 + 4) * 3;
  CHECK((pixel[0] == 10 && pixel[1] == 20 && pixel[2] == 30));
}

TEST_CASE("a line has its length times its width, in every direction") {
  for (int i = 0; i < 16; ++i) {
    CAPTURE(i);
    const double a = i * M_PI / 8 + 0.01, x = 50 + 40 * std::cos(a), y = 50 + 40 * std::sin(a);
    Tensor t = black(101, 101);
    draw_line_(t, 50, 50, x, y, 3, white);
    CHECK(area(t) == doctest::Approx(120).epsilon(0.04));
    CHECK(red(t, std::lround(50 + 20 * std::cos(a)), std::lround(50 + 20 * std::sin(a))) > 250);
    CHECK(red(t, std::lround(50 - 4 * std::cos(a)), std::lround(50 - 4 * std::sin(a))) == 0);
  }
}

TEST_CASE("what lies outside is cut off, and what is not finite is not drawn") {
  Tensor t = black(10, 12);
  draw_line_(t, -1e9, 4, 1e9, 4, 1, white);
  for (int64_t x = 0; x < 12; ++x) CHECK(red(t, x, 4) == 255);
  CHECK(red(t, 5, 2) == 0);
  t = black(10, 12);
  draw_disc_(t, -3, 5, 2, white);
  draw_disc_(t, 5, 1e12, 2, white);
  draw_disc_(t, NAN, 5, 2, white);
  draw_disc_(t, 5, 5, -1, white);
  draw_line_(t, 3, NAN, 4, 5, 1, white);
  draw_line_(t, 3, 3, INFINITY, 5, 1, white);
  draw_line_(t, 3, 3, 3, 3, 1, white);
  CHECK(area(t) == 0);
  draw_disc_(t, 0, 0, 1e6, white);
  CHECK(area(t) == 120);
}

TEST_CASE("side by side: the right image begins after the left and the gap, gray becomes colour") {
  const Tensor left = Tensor::full({2, 3, 1}, 9, DType::u8),
               right = Tensor::full({4, 2, 3}, 7, DType::u8);
  const Tensor both = side_by_side(left, right, 1);
  REQUIRE(both.shape() == Shape{4, 6, 3});
  const int expected[4][6] = {
      {9, 9, 9, 0, 7, 7}, {9, 9, 9, 0, 7, 7}, {0, 0, 0, 0, 7, 7}, {0, 0, 0, 0, 7, 7}};
  for (int64_t y = 0; y < 4; ++y)
    for (int64_t x = 0; x < 6; ++x) CHECK(red(both, x, y) == expected[y][x]);
}

TEST_CASE("darken multiplies and leaves the original alone; colours tell places apart") {
  const Tensor t = Tensor::full({2, 2, 1}, 101, DType::u8);
  CHECK(same_bits(darken(t, 0.5), Tensor::full({2, 2, 1}, 51, DType::u8)));
  CHECK(t.data<uint8_t>()[0] == 101);
  CHECK(has(full_error_of([&] { darken(t, 2); }), "the factor is 2"));
  CHECK(has(full_error_of([] {
              Tensor gray = Tensor::zeros({4, 4, 1}, DType::u8);
              draw_disc_(gray, 1, 1, 1, white);
            }),
            "shape: draw_disc"));
  const auto apart = [](Color a, Color b) {
    return std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]);
  };
  const Color corner = position_color(5, 5, 640, 480);
  CHECK(apart(corner, position_color(12, 8, 640, 480)) < 10);
  for (const auto& [x, y] : {std::pair{635, 5}, {5, 475}, {635, 475}, {320, 240}})
    CHECK(apart(corner, position_color(x, y, 640, 480)) > 100);
}

#include "ucn/picture.h"

#include <doctest/doctest.h>

#include <array>

#include "tests/compare.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

std::array<int, 3> at(const Tensor& picture, int64_t x, int64_t y) {
  const uint8_t* p = picture.data<uint8_t>() + 3 * (y * picture.dim(1) + x);
  return {p[0], p[1], p[2]};
}
const Tensor left = Tensor::full({30, 40, 1}, 100, DType::u8);
const Tensor right = Tensor::full({50, 20, 3}, 100, DType::u8);
constexpr int64_t shift = 40 + 4;  // where the right image begins

}  // namespace

TEST_CASE("a picture of matches shows both photos side by side, darkened") {
  const Tensor picture = draw_matches(left, right, {}, MatchStyle::points);
  CHECK(picture.shape() == Shape{50, 40 + 4 + 20, 3});
  CHECK(at(picture, 5, 5) == std::array{60, 60, 60});
  CHECK(at(picture, shift + 5, 45) == std::array{60, 60, 60});
}

TEST_CASE("points: discs of one colour at both ends, and only of kept matches") {
  const Tensor none = draw_matches(left, right, {}, MatchStyle::points);
  const Tensor picture = draw_matches(
      left, right, {{10, 20, 5, 40, 0.9, true}, {30, 10, 15, 10, 0.9, false}}, MatchStyle::points);
  const auto color = at(picture, 10, 20);
  CHECK(color != std::array{60, 60, 60});
  CHECK(at(picture, shift + 5, 40) == color);
  CHECK(at(picture, 30, 10) == std::array{60, 60, 60});
  CHECK(at(picture, shift + 15, 10) == std::array{60, 60, 60});
  CHECK(at(picture, 20, 20) == at(none, 20, 20));  // nothing between the ends
  // Another place in image 0 has another colour.
  const Tensor two = draw_matches(left, right, {{35, 3, 5, 40, 0.9, true}}, MatchStyle::points);
  CHECK(at(two, 35, 3) != color);
}

TEST_CASE("lines: from end to end, the best green, the worst red") {
  const Tensor picture = draw_matches(
      left, right, {{2, 10, 15, 10, 0.9, true}, {2, 20, 15, 20, 0.1, true}}, MatchStyle::lines);
  for (const int64_t x : {4, 20, 42, int(shift + 12)}) {
    CAPTURE(x);
    const auto best = at(picture, x, 10), worst = at(picture, x, 20);
    CHECK(best[1] > 200);
    CHECK(best[0] < 80);
    CHECK(worst[0] > 200);
    CHECK(worst[1] < 80);
  }
  CHECK(at(picture, 20, 15) == std::array{60, 60, 60});
}

TEST_CASE("ends at the border and equal scores are drawn without harm") {
  for (const MatchStyle style : {MatchStyle::points, MatchStyle::lines})
    CHECK(draw_matches(left, right, {{0, 0, 19, 49, 0.5, true}, {39, 29, 0, 0, 0.5, true}}, style)
              .shape() == Shape{50, 64, 3});
}

TEST_CASE("styles have names") {
  CHECK(match_style("points") == MatchStyle::points);
  CHECK(match_style("lines") == MatchStyle::lines);
  CHECK_THROWS_WITH_AS(match_style("dots"), "match: no style 'dots'; there is points, lines",
                       Error);
}

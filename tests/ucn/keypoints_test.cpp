// Corners and grids.
#include "ucn/keypoints.h"

#include <doctest/doctest.h>

#include <set>

#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/compare.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

using Point = std::pair<int64_t, int64_t>;

std::vector<Point> points(const Tensor& keypoints) {
  std::vector<Point> list;
  for (int64_t k = 0; k < keypoints.dim(0); ++k)
    list.push_back({keypoints.data<int64_t>()[2 * k], keypoints.data<int64_t>()[2 * k + 1]});
  return list;
}

/// Bright in [x0, x1) x [y0, y1).
void draw_box(Tensor& image, int64_t x0, int64_t y0, int64_t x1, int64_t y1, float value) {
  for (int64_t y = y0; y < y1; ++y)
    for (int64_t x = x0; x < x1; ++x) image.data<float>()[y * image.dim(1) + x] = value;
}

}  // namespace

TEST_CASE("a box has four corners, found within a pixel or two; its sides are none") {
  Tensor image = Tensor::zeros({40, 50, 1});
  draw_box(image, 15, 10, 35, 28, 0.5f);
  const auto found = points(detect_corners(image));
  REQUIRE(found.size() >= 4);
  std::set<Point> met;
  for (const auto& [x, y] : found) {
    bool near = false;
    for (const Point& corner : {Point{15, 10}, {34, 10}, {15, 27}, {34, 27}})
      if (std::abs(x - corner.first) <= 2 && std::abs(y - corner.second) <= 2) {
        near = true;
        met.insert(corner);
      }
    CHECK(near);
  }
  CHECK(met.size() == 4);
}

TEST_CASE("the strongest corners come first and are kept") {
  Tensor image = Tensor::zeros({30, 60, 1});
  draw_box(image, 8, 8, 20, 20, 0.2f);
  draw_box(image, 36, 8, 48, 20, 0.5f);
  const auto four = points(detect_corners(image, {.max_keypoints = 4}));
  REQUIRE(four.size() == 4);
  for (const auto& p : four) CHECK(p.first > 30);
  const auto all = points(detect_corners(image));
  REQUIRE(all.size() >= 8);
  CHECK(std::vector<Point>(all.begin(), all.begin() + 4) == four);
}

TEST_CASE("a score's keypoints are its maxima, highest first; of equal neighbours the first") {
  Tensor scores = Tensor::full({20, 30}, 0);
  const auto set = [&](int64_t x, int64_t y, float v) { scores.data<float>()[y * 30 + x] = v; };
  set(0, 0, 0.4f);  // at the border as elsewhere
  set(10, 5, 0.9f);
  set(11, 6, 0.8f);  // within the spacing of a higher one: the map has every second pixel
  set(12, 5, 0.7f);  // beyond it, but next to the last
  set(20, 10, 0.5f);
  set(21, 10, 0.5f);  // equal to its neighbour
  set(29, 19, 0.6f);
  const std::vector<double> expected = {20, 10, 58, 38, 40, 20, 0, 0};
  CHECK(detect_by_score(scores).to_vector() == expected);
  CHECK(detect_by_score(scores, {.max_keypoints = 1}).to_vector() == std::vector<double>{20, 10});
  CHECK(detect_by_score(scores, {.spacing = 4}).dim(0) == 4);
  CHECK_THROWS_AS(detect_by_score(Tensor::zeros({4, 4, 1})), Error);
  CHECK_THROWS_AS(
      detect_keypoints(Tensor::zeros({9, 9, 1}, DType::u8), {.kind = KeypointKind::score}), Error);
}

TEST_CASE("corners keep their distance, and threads do not matter") {
  Random random(1);
  const Tensor image = random_uniform({61, 47, 1}, random);
  for (int64_t spacing : {1, 4}) {
    const auto found = points(detect_corners(image, {.spacing = spacing}));
    CHECK(found.size() > 10);
    for (size_t i = 0; i < found.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        CHECK(std::max(std::abs(found[i].first - found[j].first),
                       std::abs(found[i].second - found[j].second)) > spacing);
  }
  const int before = num_threads();
  set_num_threads(1);
  const Tensor one = detect_corners(image);
  set_num_threads(7);
  CHECK(same_bits(one, detect_corners(image)));
  set_num_threads(before);
}

TEST_CASE("nothing is found where there is no contrast, nor in an image smaller than the window") {
  CHECK(detect_corners(Tensor::full({30, 30, 1}, 0.7)).dim(0) == 0);
  Random random(2);
  CHECK(detect_corners(random_uniform({1, 1, 1}, random)).dim(0) == 0);
  CHECK(detect_corners(random_uniform({6, 40, 1}, random)).dim(0) == 0);
  CHECK(detect_corners(random_uniform({0, 5, 1}, random)).shape() == Shape{0, 2});
  CHECK_THROWS_AS(detect_corners(Tensor::zeros({8, 8, 3})), Error);
}

TEST_CASE("a grid is regular, centred, inside, and no finer than allowed") {
  for (const Shape& size : {Shape{1, 1}, {3, 50}, {48, 64}, {480, 641}})
    for (int64_t most : {1, 7, 100, 2000}) {
      CAPTURE(size);
      CAPTURE(most);
      const int64_t h = size[0], w = size[1];
      const auto grid = points(grid_keypoints(h, w, {.max_keypoints = most, .spacing = 3}));
      REQUIRE(!grid.empty());
      CHECK(int64_t(grid.size()) <= most);
      std::set<int64_t> xs, ys;
      for (const auto& [x, y] : grid) xs.insert(x), ys.insert(y);
      CHECK(xs.size() * ys.size() == grid.size());
      const auto check = [](const std::set<int64_t>& line, int64_t extent) {
        const int64_t first = *line.begin(), last = extent - 1 - *line.rbegin();
        CHECK(first >= 0);
        CHECK((last == first || last == first + 1));
        for (auto i = line.begin(); std::next(i) != line.end(); ++i)
          CHECK(*std::next(i) - *i == *std::next(line.begin()) - first);
      };
      check(xs, w);
      check(ys, h);
    }
  CHECK(grid_keypoints(48, 64, {.max_keypoints = 5000, .spacing = 2}).dim(0) == 12 * 16);
}

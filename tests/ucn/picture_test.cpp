#include "ucn/picture.h"

#include <doctest/doctest.h>

#include <array>

#include "data/text.h"
#include "data/warp.h"
#include "tests/compare.h"
#include "tests/ucn/some_photos.h"

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

TEST_CASE("points: discs of one colour at both ends, and only of inliers, on darkened photos") {
  const Picture none = draw_points({left, right, {}});
  CHECK(none.image.shape() == Shape{50, 40 + 4 + 20, 3});
  CHECK(at(none.image, 5, 5) == std::array{50, 50, 50});
  CHECK(at(none.image, shift + 5, 45) == std::array{50, 50, 50});
  const Picture p = draw_points({left, right, {{10, 20, 5, 40}, {30, 10, 15, 10}}, {1, 0}});
  const auto color = at(p.image, 10, 20);
  CHECK(color != std::array{50, 50, 50});
  CHECK(at(p.image, shift + 5, 40) == color);
  CHECK(at(p.image, 30, 10) == std::array{50, 50, 50});
  CHECK(at(p.image, shift + 15, 10) == std::array{50, 50, 50});
  CHECK(at(p.image, 20, 20) == at(none.image, 20, 20));  // nothing between the ends
  CHECK(p.legend[0].text == "1 inliers of 2 matches, equal colours belong together");
  // Another place in image 0 has another colour.
  CHECK(at(draw_points({left, right, {{35, 3, 5, 40}}}).image, 35, 3) != color);
}

TEST_CASE("lines: from end to end, inliers green, outliers vermilion, of many a choice") {
  const Picture p = draw_lines({left, right, {{2, 10, 15, 10}, {2, 20, 15, 20}}, {1, 0}});
  for (const int64_t x : {4, 20, 42, int(shift + 12)}) {
    CAPTURE(x);
    const auto inlier = at(p.image, x, 10), outlier = at(p.image, x, 20);
    CHECK(inlier[1] > inlier[0] + 50);
    CHECK(outlier[0] > outlier[1] + 50);
  }
  CHECK(at(p.image, 20, 15) == std::array{50, 50, 50});
  REQUIRE(p.legend.size() == 2);
  CHECK(p.legend[0].text == "1 inliers");
  CHECK(p.legend[1].text == "1 outliers");
  ShownPair many{left, right, {}};
  for (int k = 0; k < 1000; ++k) many.matches.push_back({2, 10, 15, 10});
  CHECK(draw_lines(many).legend[0].text == "250 of 1000 matches");
}

TEST_CASE("density: brightest where most matches are, in each photo by its own ends") {
  ShownPair pair{
      Tensor::full({120, 160, 1}, 100, DType::u8), Tensor::full({120, 160, 1}, 100, DType::u8), {}};
  for (int k = 0; k < 9; ++k) pair.matches.push_back({30, 40, 120, 80});
  pair.matches.push_back({100, 40, 20, 20});
  const Picture p = draw_density(pair);
  const auto light = [&](int64_t x, int64_t y) { return at(p.image, x, y)[0]; };
  CHECK(light(30, 40) > light(100, 40) + 50);
  CHECK(light(100, 40) > light(60, 90));
  CHECK(light(164 + 120, 80) > light(164 + 20, 20) + 50);
  CHECK(light(164 + 30, 40) == light(60, 90));  // an end of photo 0 says nothing about photo 1
  CHECK(p.legend[0].text == "0 to 9 within 6 px");
  CHECK(draw_density({left, right, {}}).image.shape() == Shape{50, 64, 3});
}

TEST_CASE("overlay and checkerboard: a moved photo lies on the other") {
  const Tensor photo = test::some_photo(100, 140, 4);
  const auto part = [&](int64_t x0, int64_t y0) {
    Tensor t = Tensor::empty({80, 100, 1}, DType::u8);
    for (int64_t y = 0; y < 80; ++y)
      std::copy_n(photo.data<uint8_t>() + (y + y0) * 140 + x0, 100, t.data<uint8_t>() + y * 100);
    return t;
  };
  ShownPair pair{part(0, 0), part(20, 10), {}};
  for (int k = 0; k < 40; ++k) {
    const double x = 22 + 19.0 * (k % 4), y = 12 + 6.5 * (k / 4);
    pair.matches.push_back({x, y, x - 20, y - 10});
  }
  pair.matches.push_back({30, 30, 70, 70});
  const auto map = common_plane(pair);
  REQUIRE(map);
  const Picture overlay = draw_overlay(pair, *map), fields = draw_checkerboard(pair, *map);
  for (const auto& [x, y] : {std::pair{25, 15}, {60, 40}, {95, 75}, {35, 31}}) {
    const int value = pair.image0.data<uint8_t>()[y * 100 + x];
    const auto both = at(overlay.image, x, y);
    CHECK(both[0] == value);
    CHECK(std::abs(both[2] - value) <= 2);
    CHECK(std::abs(at(fields.image, x, y)[0] - value) <= 2);
  }
  const int dark = pair.image0.data<uint8_t>()[5 * 100 + 5] / 3;  // photo B does not show it
  CHECK(at(overlay.image, 5, 5) == std::array{dark, dark, dark});

  pair.matches.resize(10);
  CHECK(!common_plane(pair));  // too few
  Random random(2);
  for (int k = 0; k < 100; ++k)
    pair.matches.push_back({random.uniform(0, 99), random.uniform(0, 79), random.uniform(0, 99),
                            random.uniform(0, 79)});
  CHECK(!common_plane(pair));  // most disagree
}

TEST_CASE("features: what is alike in both photos has one colour, what differs another") {
  Tensor a = Tensor::zeros({4, 6, 8}), b = Tensor::zeros({3, 5, 8});
  for (Tensor* t : {&a, &b})
    for (int64_t k = 0; k < t->numel() / 8; ++k) t->data<float>()[8 * k + (k % 2 ? 3 : 5)] = 1;
  const Picture p = draw_features(a, b);
  CHECK(p.image.shape() == Shape{4, 6 + 4 + 5, 3});
  CHECK(at(p.image, 0, 0) == at(p.image, 10, 0));
  CHECK(at(p.image, 1, 0) == at(p.image, 11, 0));
  CHECK(std::abs(at(p.image, 0, 0)[1] - at(p.image, 1, 0)[1]) > 60);
  CHECK(p.legend[0].text == "features: three main directions of 8, 100% of the variance");
  CHECK(draw_features(Tensor::full({2, 2, 2}, 0.5), Tensor::full({2, 2, 2}, 0.5)).image.dim(1) ==
        8);
}

TEST_CASE("a legend is a strip below, as long as it needs") {
  const Picture p{Tensor::full({50, 300, 3}, 100, DType::u8),
                  {{{{255, 0, 0}}, "short"}, {{{0, 0, 0}, {0, 0, 255}}, "another, longer entry"}}};
  const Tensor one = with_legend({p.image, {p.legend[0]}}), two = with_legend(p);
  CHECK(one.dim(1) == 300);
  CHECK(one.dim(0) > 65);
  CHECK(two.dim(0) > one.dim(0));  // the second did not fit beside
  CHECK(at(two, 10, 10) == std::array{100, 100, 100});
  CHECK(at(one, 12, 62) == std::array{255, 0, 0});
  double white = 0;
  for (int64_t x = 25; x < 100; ++x) white += at(one, x, 63)[1];
  CHECK(white > 500);                 // letters
  const std::string longer(60, 'H');  // is made to fit: its last letter is there
  const Tensor narrow = with_legend({p.image, {{{}, longer}}});
  white = 0;
  for (int64_t y = 50; y < narrow.dim(0); ++y)
    for (int64_t x = 280; x < 300; ++x) white += at(narrow, x, y)[1];
  CHECK(white > 200);
  for (int64_t y = 50; y < narrow.dim(0); ++y) CHECK(at(narrow, 299, y)[1] == 0);
}

TEST_CASE("text is as wide as it says, and of any height") {
  for (const double height : {8.0, 12.0, 40.0}) {
    Tensor t = Tensor::zeros({80, 400, 3}, DType::u8);
    draw_text_(t, "Hxh", 10, 20, height, {255, 255, 255});
    const double width = text_width("Hxh", height), pen = 1.5 + height / 16;
    double inside = 0, outside = 0;
    for (int64_t y = 0; y < 80; ++y)
      for (int64_t x = 0; x < 400; ++x)
        (double(x) > 10 - pen && double(x) < 10 + width + pen && double(y) > 20 - pen &&
                 double(y) < 20 + height + pen
             ? inside
             : outside) += at(t, x, y)[0];
    CHECK(inside > 255 * height);
    CHECK(outside == 0);
  }
}

TEST_CASE("ends at the border, beyond it and at no place at all are drawn without harm") {
  const ShownPair pair{left, right, {{0, 0, 19, 49}, {39, 29, -1e9, 0}, {NAN, 0, 5, 5}}};
  for (const Picture& p : {draw_points(pair), draw_lines(pair), draw_density(pair)})
    CHECK(p.image.shape() == Shape{50, 64, 3});
}

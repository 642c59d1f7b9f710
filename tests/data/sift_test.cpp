// SIFT finds blobs where they are, at their scale, and knows them again turned and enlarged.
#include "data/sift/sift.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "data/warp.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tests/errors.h"
#include "tests/tensor/grid.h"

using namespace cairn;

namespace {

Tensor picture(int64_t h, int64_t w, const std::function<double(double, double)>& value) {
  Tensor p = Tensor::empty({h, w, 1}, DType::u8);
  for (int64_t i = 0; i < h * w; ++i)
    p.data<uint8_t>()[i] = uint8_t(std::clamp(value(double(i % w), double(i / w)), 0.0, 255.0));
  return p;
}

double blob(double x, double y, double cx, double cy, double sigma) {
  return std::exp(-((x - cx) * (x - cx) + (y - cy) * (y - cy)) / (2 * sigma * sigma));
}

/// Blots of many sizes, without any symmetry.
Tensor texture(int64_t side) {
  Random random(5);
  std::vector<std::array<double, 4>> blots;
  for (int i = 0; i < 150; ++i)
    blots.push_back({random.uniform(0, double(side)), random.uniform(0, double(side)),
                     random.uniform(1.5, 6), random.uniform(-90, 90)});
  return picture(side, side, [&](double x, double y) {
    double v = 128;
    for (const auto& [cx, cy, sigma, weight] : blots) v += weight * blob(x, y, cx, cy, sigma);
    return v;
  });
}

}  // namespace

TEST_CASE("a blob is found at its centre and with its scale") {
  for (const double sigma : {2.5, 4.0, 8.0})
    for (const double sign : {-1.0, 1.0}) {
      CAPTURE(sigma);
      const auto found = sift_keypoints(picture(81, 101, [&](double x, double y) {
        return 128 + sign * 120 * blob(x, y, 50.3, 39.6, sigma);
      }));
      REQUIRE(!found.empty());
      CHECK(std::fabs(found[0].x - 50.3) <= 0.05);
      CHECK(std::fabs(found[0].y - 39.6) <= 0.05);
      // (k s)^2 and s^2 blur differ most, by (k - 1) / (k + 1) of the blob, where s = sigma /
      // sqrt(k).
      const double k = std::exp2(1.0 / 3);
      CHECK(found[0].size / 2 == doctest::Approx(sigma / std::sqrt(k)).epsilon(0.05));
      CHECK(found[0].response == doctest::Approx(120.0 / 255 * (k - 1) / (k + 1)).epsilon(0.02));
    }
}

TEST_CASE("OpenCV's positions lie a quarter pixel further, the rest is the same") {
  const Tensor p = texture(100);
  const auto ours = sift_keypoints(p), opencv = sift_keypoints(p, {.opencv_positions = true});
  REQUIRE(ours.size() == opencv.size());
  REQUIRE(ours.size() > 20);
  for (size_t i = 0; i < ours.size(); ++i) {
    CHECK(opencv[i].x - ours[i].x == 0.25f);
    CHECK(opencv[i].y - ours[i].y == 0.25f);
    CHECK(opencv[i].size == ours[i].size);
  }
}

TEST_CASE("keypoints come back, with descriptors alike, in a turned and enlarged picture") {
  const Tensor p = texture(160);
  // The view looks at the picture: what it shows at v is at view_to_picture(v).
  const double turn = 0.6, zoom = 1.3;
  const Homography view_to_picture =
      compose(translation(80, 80),
              compose(rotation(turn), compose(scaling(1 / zoom, 1 / zoom), translation(-80, -80))));
  const Tensor view = warp(Pyramid(p), view_to_picture, 160, 160).to(DType::u8);
  for (const bool root : {false, true}) {
    CAPTURE(root);
    const SiftFeatures a = sift(p, {.root = root}), b = sift(view, {.root = root});
    const auto nearest = kernels::nearest(b.descriptors, a.descriptors);
    int64_t inside = 0, right = 0;
    for (size_t i = 0; i < b.keypoints.size(); ++i) {
      const SiftKeypoint &k = b.keypoints[i],
                         &m = a.keypoints[size_t(nearest.index.data<int64_t>()[i])];
      const auto [x, y] = apply(view_to_picture, double(k.x), double(k.y));
      if (std::min({x, y, 159 - x, 159 - y}) < 15) continue;
      ++inside;
      const double turned = std::remainder(double(m.angle - k.angle) - turn * 180 / M_PI, 360);
      right += std::hypot(x - m.x, y - m.y) <= 1.5 && std::fabs(turned) <= 15 &&
               std::fabs(k.size / m.size / zoom - 1) <= 0.3;
    }
    CHECK(inside > 20);
    CHECK(double(right) >= 0.6 * double(inside));
  }
}

TEST_CASE("the strongest come first, and no more than asked for but for ties") {
  const Tensor p = texture(120);
  const auto all = sift_keypoints(p);
  for (size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1].response >= all[i].response);
  const auto some = sift_keypoints(p, {.max_keypoints = 10});
  REQUIRE(some.size() >= 10);
  CHECK(some.size() <= 14);  // a place with several directions has them all
  for (size_t i = 0; i < some.size(); ++i) CHECK(some[i].response == all[i].response);
  const SiftFeatures described = sift(p, {.max_keypoints = 10});
  CHECK(described.descriptors.shape() == Shape{int64_t(some.size()), 128});
}

TEST_CASE("descriptors are whole numbers of length 512, or of unit length") {
  const Tensor p = texture(120);
  const auto lengths = [](const Tensor& d) {
    return kernels::nearest(d, Tensor::zeros({1, 128})).distance.to_vector();
  };
  const SiftFeatures plain = sift(p), root = sift(p, {.root = true});
  for (float v : plain.descriptors.span<float>()) CHECK(v == std::floor(v));
  for (double square : lengths(plain.descriptors))
    CHECK(std::sqrt(square) == doctest::Approx(512).epsilon(0.02));
  for (double square : lengths(root.descriptors))
    CHECK(std::sqrt(square) == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("pictures without anything, and the smallest, have no keypoints") {
  for (const auto& [h, w] :
       {std::pair<int64_t, int64_t>{1, 1}, {1, 50}, {2, 3}, {9, 9}, {64, 64}}) {
    const SiftFeatures none = sift(Tensor::full({h, w, 1}, 90, DType::u8));
    CHECK(none.keypoints.empty());
    CHECK(none.descriptors.shape() == Shape{0, 128});
  }
  const Tensor thin = picture(3, 200, [](double x, double) { return 40 * std::fmod(x, 6); });
  CHECK_NOTHROW(sift(thin, {.contrast = 0}));
}

TEST_CASE("SIFT gives equal bits at any thread count") {
  const Tensor p = texture(150);
  CHECK(same_at_any_thread_count([&] {
    const SiftFeatures f = sift(p);
    std::vector<float> all;
    for (const SiftKeypoint& k : f.keypoints) all.insert(all.end(), {k.x, k.y, k.size, k.angle});
    return Tensor::from({int64_t(all.size())}, all);
  }));
  CHECK(same_at_any_thread_count([&] { return sift(p).descriptors; }));
}

TEST_CASE("SIFT says what it cannot take") {
  const Tensor p = Tensor::zeros({20, 20, 1}, DType::u8);
  CHECK(error_of([&] {
          sift(Tensor::zeros({20, 20, 3}, DType::u8));
        }) == "sift: it takes gray images, not 20x20x3");
  CHECK(error_of([&] { sift(p, {.octave_layers = 0}); }) == "sift: octave_layers is 0");
  CHECK(error_of([&] { sift(p, {.sigma = 0.5}); }) == "sift: sigma is 0.5; it must be above 1");
  CHECK(error_of([&] { sift(p, {.contrast = -1}); }).starts_with("sift: contrast is -1"));
}

#include "data/photometric.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "tests/compare.h"

using namespace cairn;

namespace {

/// Squares of 6 pixels, dark and bright, with some texture.
Tensor picture(int64_t c = 1) {
  Random random(4);
  Tensor t = random_uniform({40, 48, c}, random, 0, 40);
  for (int64_t i = 0; i < t.numel(); ++i)
    t.data<float>()[i] += (i / c % 48 / 6 + i / c / 48 / 6) % 2 ? 60.f : 170.f;
  return t;
}

double mean(const Tensor& t) {
  const auto v = t.to_vector();
  return std::accumulate(v.begin(), v.end(), 0.) / double(v.size());
}

double deviation(const Tensor& t) {
  double sum = 0;
  const double m = mean(t);
  for (const double v : t.to_vector()) sum += (v - m) * (v - m);
  return std::sqrt(sum / double(t.numel()));
}

/// The mean place of what a change makes of one bright dot in the middle of 31 x 31.
std::array<double, 2> centroid(const Photometric& options, uint64_t seed) {
  Tensor dot = Tensor::zeros({31, 31, 1});
  dot.data<float>()[15 * 31 + 15] = 255;
  Random random(seed);
  const auto v = change_appearance(dot, options, random).to_vector();
  double sum = 0, x = 0, y = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    sum += v[i];
    x += v[i] * double(i % 31);
    y += v[i] * double(i / 31);
  }
  CHECK(sum == doctest::Approx(255).epsilon(1e-4));
  return {x / sum, y / sum};
}

}  // namespace

TEST_CASE("nothing changes without changes; each change alone changes; the seed decides") {
  const Tensor t = picture(3);
  Random none(1);
  CHECK(same_bits(change_appearance(t, Photometric::none(), none), t));
  for (double Photometric::*change :
       {&Photometric::shade, &Photometric::gamma, &Photometric::contrast, &Photometric::brightness,
        &Photometric::blur, &Photometric::motion_blur, &Photometric::noise, &Photometric::jpeg}) {
    Photometric options = Photometric::none();
    options.*change = 1;
    Random a(7), b(7), c(8);
    const Tensor changed = change_appearance(t, options, a);
    CHECK(difference(changed, t) > 1e-3);
    CHECK(same_bits(change_appearance(t, options, b), changed));
    CHECK(!same_bits(change_appearance(t, options, c), changed));
  }
}

TEST_CASE("the strength multiplies what changes") {
  const auto change = [](double strength) {
    double sum = 0;
    for (uint64_t seed = 0; seed < 40; ++seed) {
      Random random(seed);
      const Tensor before = picture();
      const Tensor after = change_appearance(before, Photometric::of_strength(strength), random);
      for (int64_t i = 0; i < before.numel(); ++i)
        sum += std::abs(after.data<float>()[i] - before.data<float>()[i]);
    }
    return sum / double(40 * picture().numel());
  };
  const double none = change(0), half = change(0.5), whole = change(1), twice = change(2);
  CHECK(none < 2);  // what rounding and compression at the highest quality leave
  CHECK(half > 2 * none);
  CHECK(whole > 1.5 * half);
  CHECK(twice > 1.2 * whole);
  Random a(3), b(3);
  CHECK(same_bits(change_appearance(picture(), {}, a),
                  change_appearance(picture(), Photometric::of_strength(1), b)));
}

TEST_CASE("values stay in [0, 255] and the picture stays itself, gray and colour") {
  for (const int64_t c : {1, 3})
    for (uint64_t seed = 0; seed < 60; ++seed) {
      Random random(seed);
      const Tensor t = picture(c), changed = change_appearance(t, Photometric(), random);
      REQUIRE(changed.shape() == t.shape());
      const auto a = t.to_vector(), b = changed.to_vector();
      const double mean_a = mean(t), mean_b = mean(changed);
      double product = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        CHECK_UNARY(b[i] >= 0 && b[i] <= 255);
        product += (a[i] - mean_a) * (b[i] - mean_b);
      }
      CHECK(product / double(a.size()) / deviation(t) / deviation(changed) > 0.3);
    }
}

TEST_CASE("blurs keep the brightness and the place, so correspondences stay true") {
  Photometric blur = Photometric::none(), motion = Photometric::none();
  blur.blur = motion.motion_blur = 1;
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (const auto& options : {blur, motion}) {
      const auto [x, y] = centroid(options, seed);
      CHECK(x == doctest::Approx(15).epsilon(1e-5));
      CHECK(y == doctest::Approx(15).epsilon(1e-5));
    }
}

TEST_CASE("a Gaussian blur has the deviation it is asked for, and none changes nothing") {
  Tensor dot = Tensor::zeros({41, 41, 1});
  dot.data<float>()[20 * 41 + 20] = 1;
  const Tensor blurred = gaussian_blur(dot, 2);
  double across = 0, down = 0;
  for (int64_t i = 0; i < 41 * 41; ++i) {
    const double v = blurred.data<float>()[i];
    across += v * std::pow(double(i % 41 - 20), 2);
    down += v * std::pow(double(i / 41 - 20), 2);
  }
  CHECK(std::sqrt(across) == doctest::Approx(2).epsilon(0.02));
  CHECK(std::sqrt(down) == doctest::Approx(2).epsilon(0.02));
  CHECK(same_bits(gaussian_blur(picture(), 0), picture()));
  CHECK(difference(gaussian_blur(Tensor::full({5, 7, 3}, 9), 3), Tensor::full({5, 7, 3}, 9)) <
        1e-6);
}

TEST_CASE("noise has no mean and at most the deviation allowed") {
  Photometric options = Photometric::none();
  options.noise = 1;
  const Tensor flat = Tensor::full({64, 64, 1}, 128);
  double largest = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const Tensor noisy = change_appearance(flat, options, random);
    CHECK(std::fabs(mean(noisy) - 128) < 1);
    largest = std::max(largest, deviation(noisy));
  }
  CHECK(largest > 5);
  CHECK(largest < 10.5);
}

TEST_CASE("compression rounds the values, so that nothing gets darker") {
  Photometric only = Photometric::none();
  only.jpeg = 1;
  only.jpeg_quality = 95;
  Random random(3);
  const Tensor t = Tensor::full({32, 32, 1}, 100.7);
  CHECK(mean(change_appearance(t, only, random)) == doctest::Approx(101).epsilon(1e-3));
}

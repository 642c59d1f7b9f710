#include "ucn/alignment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/warp.h"
#include "tests/compare.h"
#include "tests/ucn/some_photos.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {

Tensor blank(int64_t height, int64_t width) {
  return Tensor::full({height, width, 1}, 99, DType::u8);
}

double distance(const Point& a, const Point& b) { return std::hypot(a[0] - b[0], a[1] - b[1]); }

Homography similarity(double scale, double degrees, double x, double y) {
  return compose(translation(x, y),
                 compose(rotation(degrees * std::numbers::pi / 180), scaling(scale, scale)));
}

/// The photo of the demo, gray, reduced so that tests are quick.
const Tensor& rock() {
  static const Tensor photo = resize_area(
      read_image(CAIRN_SOURCE_DIR "/data/demo/pair/a.jpg", {.channels = 1}).pixels, 240, 320);
  return photo;
}

/// What a camera sees that the photo's points go to by `map`.
Tensor seen(const Homography& map, int64_t height, int64_t width) {
  return look_through({height, width, inverse(map)}, rock());
}

struct Aligner {
  Weights weights = load_weights(CAIRN_SOURCE_DIR "/ucn/weights/ucn-slim.safetensors");
  FeatureExtractor extract{*weights.network};
  Alignment operator()(const Tensor& a, const Tensor& b) {
    return align(extract, a, b, {.size = 1, .max_keypoints = 400});
  }
};
Aligner& aligner() {
  static Aligner a;
  return a;
}

/// The largest distance between where the map and the truth take the rock's middle half, px.
double error(const Alignment& a, const Homography& truth) {
  double worst = 0;
  for (const double x : {80.0, 160.0, 240.0})
    for (const double y : {60.0, 120.0, 180.0})
      worst = std::max(worst, distance(apply(a.surfaces[0].map, x, y), apply(truth, x, y)));
  return worst;
}

/// The rock, of which the upper part stays where it is and the lower comes nearer, as when walking.
Tensor walked_on(const Homography& nearer, int64_t horizon) {
  Tensor photo = rock().clone();
  const Tensor near = seen(nearer, photo.dim(0), photo.dim(1));
  const int64_t above = horizon * photo.dim(1);
  std::copy_n(near.data<uint8_t>() + above, photo.numel() - above, photo.data<uint8_t>() + above);
  return photo;
}

}  // namespace

TEST_CASE("the window on the finer photo shows what the coarser one does, pixel by pixel") {
  const Tensor large = blank(400, 600), small = blank(200, 260);
  for (const double degrees : {0.0, 30.0, 180.0, -90.0}) {
    CAPTURE(degrees);
    // The middle of the large photo goes to that of the small one, at 0.4 of the scale.
    const Homography map = compose(translation(129.5, 99.5), compose(similarity(0.4, degrees, 0, 0),
                                                                     translation(-299.5, -199.5)));
    const auto windows = aligned_windows(map, large, small);
    REQUIRE(windows);
    const auto& [w0, w1] = *windows;
    CHECK(w1.to_photo == identity_homography());
    CHECK(w1.height == 200);
    CHECK(w1.width == 260);
    CHECK(w0.height <= 200);
    CHECK(w0.width <= 260);
    const Point begin = apply(compose(map, w0.to_photo), 0, 0);
    CHECK(distance(begin, {std::round(begin[0]), std::round(begin[1])}) < 1e-9);
    for (const Point& p : {Point{10, 20}, Point{50, 3}})
      CHECK(distance(apply(compose(map, w0.to_photo), p[0], p[1]),
                     {begin[0] + p[0], begin[1] + p[1]}) < 1e-9);
    // The other way round the same window is on the second photo.
    const auto swapped = aligned_windows(inverse(map), small, large);
    REQUIRE(swapped);
    CHECK((*swapped)[1].height == w0.height);
    CHECK((*swapped)[1].width == w0.width);
    CHECK(distance(apply((*swapped)[1].to_photo, 7, 9), apply(w0.to_photo, 7, 9)) < 1e-6);
  }
}

TEST_CASE("a window covers what both photos show, not more than a margin beyond") {
  const Tensor photo = blank(300, 300);
  const auto windows = aligned_windows(translation(-200, 0), photo, photo);
  REQUIRE(windows);
  const Window& w = (*windows)[1];
  CHECK(w.height == 300);
  CHECK(w.width >= 100);
  CHECK(w.width <= 100 + 30 + 20);
  CHECK(!aligned_windows(translation(-400, 0), photo, photo));  // nothing in common
}

TEST_CASE("maps that no two photos of one plane have give no windows") {
  const Tensor photo = blank(100, 120);
  const Homography mirror = compose(translation(119, 0), scaling(-1, 1));
  CHECK(!aligned_windows(mirror, photo, photo));
  CHECK(!aligned_windows(scaling(9, 9), photo, photo));
  CHECK(!aligned_windows(scaling(0.1, 0.1), photo, photo));
  CHECK(!aligned_windows(Homography{}, photo, photo));
  Homography nothing;
  nothing.fill(NAN);
  CHECK(!aligned_windows(nothing, photo, photo));
  // The sign of a matrix means nothing.
  Homography negative = identity_homography();
  for (double& v : negative) v = -v;
  CHECK(aligned_windows(negative, photo, photo));
}

TEST_CASE("windows never reach the horizon") {
  const Tensor photo = blank(100, 120);
  for (const double bend : {0.004, 0.007, 0.0095, 0.02, 0.2}) {
    CAPTURE(bend);
    Homography h = identity_homography();
    h[6] = -bend;  // x = 1 / bend goes to infinity
    const auto windows = aligned_windows(h, photo, photo);
    if (!windows) continue;
    for (const Window& w : *windows)
      for (const double x : {0.0, double(w.width - 1)})
        for (const double y : {0.0, double(w.height - 1)})
          CHECK(w.to_photo[6] * x + w.to_photo[7] * y + w.to_photo[8] > 0);
  }
}

TEST_CASE("looking through a window is warping; through the whole, the photo itself") {
  const Window whole{rock().dim(0), rock().dim(1), identity_homography()};
  CHECK(look_through(whole, rock()).data<uint8_t>() == rock().data<uint8_t>());
  const Tensor moved = look_through({20, 30, translation(50, 60)}, rock());
  for (int64_t y = 0; y < 20; ++y)
    for (int64_t x = 0; x < 30; ++x)
      CHECK(moved.data<uint8_t>()[y * 30 + x] ==
            rock().data<uint8_t>()[(y + 60) * rock().dim(1) + x + 50]);
}

TEST_CASE("photos that are turned, reduced and foreshortened are aligned") {
  struct Case {
    const char* name;
    Homography map;
    int64_t height, width;
  };
  Homography steep = compose(scaling(0.55, 1), identity_homography());
  steep[6] = 0.0006;
  const Case cases[] = {{"as it is", translation(-20, 10), 240, 320},
                        {"a quarter turn", similarity(1, 90, 239, 0), 320, 240},
                        {"upside down", similarity(1, 180, 319, 239), 240, 320},
                        {"60 degrees, smaller", similarity(0.6, 60, 160, 20), 240, 260},
                        {"a third of the size", similarity(1 / 2.6, 0, 0, 0), 92, 123},
                        {"from the side", steep, 240, 180}};
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    const Tensor other = seen(c.map, c.height, c.width);
    const Alignment a = aligner()(rock(), other);
    CHECK(a.surfaces[0].agreeing >= 12);
    CHECK(error(a, c.map) < 4);
  }
}

TEST_CASE("swapped photos are aligned alike") {
  const Tensor other = seen(similarity(0.6, 10, 20, 10), 160, 200);
  const Alignment a = aligner()(rock(), other), b = aligner()(other, rock());
  CHECK(a.surfaces[0].agreeing >= 12);
  CHECK(b.surfaces[0].agreeing == a.surfaces[0].agreeing);
  CHECK(distance(apply(b.surfaces[0].map, apply(a.surfaces[0].map, 9, 8)[0],
                       apply(a.surfaces[0].map, 9, 8)[1]),
                 {9, 8}) < 1e-6);
  for (size_t k = 0; k < 2; ++k) {
    CHECK(b.surfaces[0].windows[k].to_photo == a.surfaces[0].windows[1 - k].to_photo);
    CHECK(b.surfaces[0].windows[k].height == a.surfaces[0].windows[1 - k].height);
  }
}

TEST_CASE("what comes nearer by another scale is a surface of its own") {
  const Homography nearer = similarity(1.8, 0, -130, -90);
  const Tensor later = walked_on(nearer, 90);
  const auto find = [](const Alignment& a, const Homography& truth) {
    const auto close = [&](const Surface& s) {
      const Point p = apply(s.map, 160, 130), q = apply(truth, 160, 130);
      return distance(p, q) < 3 &&
             std::abs(local_scale(s.map, 160, 130) / local_scale(truth, 160, 130) - 1) < 0.1;
    };
    return std::ranges::count_if(a.surfaces, close);
  };
  const Alignment a = aligner()(rock(), later), b = aligner()(later, rock());
  CHECK(find(a, identity_homography()) == 2);  // its map, and the photos as they are
  CHECK(find(a, nearer) == 1);
  REQUIRE(b.surfaces.size() == a.surfaces.size());
  for (size_t k = 0; k < a.surfaces.size(); ++k) {
    CHECK(b.surfaces[k].agreeing == a.surfaces[k].agreeing);
    for (const size_t photo : {0, 1})
      CHECK(b.surfaces[k].windows[photo] == a.surfaces[k].windows[1 - photo]);
  }
  // A plane has one.
  CHECK(aligner()(rock(), seen(nearer, 240, 320)).surfaces.size() == 1);
}

TEST_CASE("where nothing agrees both photos stay whole") {
  const Tensor small = resize_area(rock(), 90, 120);
  for (const Tensor& other : {some_photo(90, 120, 7), blank(90, 120), blank(1, 9)}) {
    const Alignment a = aligner()(small, other);
    CHECK(a.surfaces.size() == 1);
    CHECK(a.surfaces[0].agreeing == 0);
    CHECK(a.surfaces[0].map == identity_homography());
    CHECK(a.looks > 10);
    CHECK(a.surfaces[0].windows[0].to_photo == identity_homography());
    CHECK(a.surfaces[0].windows[1].to_photo == identity_homography());
    CHECK(a.surfaces[0].windows[1].height == other.dim(0));
    CHECK(a.surfaces[0].windows[1].width == other.dim(1));
  }
}

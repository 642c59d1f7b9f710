// The matcher: it finds planted matches in every mode and rejects planted impostors.
#include "ucn/matcher.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/parallel.h"
#include "tests/compare.h"
#include "tests/errors.h"
#include "ucn/above.h"
#include "ucn/coarse_search.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

constexpr int64_t C = 8;

Tensor random_features(int64_t h, int64_t w, uint64_t seed) {
  Random random(seed);
  return l2_normalize(random_normal({h, w, C}, random)).value();
}

float* at(Tensor& features, int64_t x, int64_t y) {
  return features.data<float>() + (y * features.dim(1) + x) * C;
}
void copy_feature(Tensor& to, int64_t x, int64_t y, Tensor& from, int64_t fx, int64_t fy) {
  std::copy_n(at(from, fx, fy), C, at(to, x, y));
}
/// The feature of (fx, fy), turned a little towards that of (gx, gy).
void near_copy(Tensor& to, int64_t x, int64_t y, Tensor& from, int64_t fx, int64_t fy, int64_t gx,
               int64_t gy, float turn) {
  float* v = at(to, x, y);
  float square = 0;
  for (int64_t c = 0; c < C; ++c) {
    v[c] = at(from, fx, fy)[c] + turn * at(from, gx, gy)[c];
    square += v[c] * v[c];
  }
  for (int64_t c = 0; c < C; ++c) v[c] /= std::sqrt(square);
}

Tensor keypoints(const std::vector<int64_t>& xy) {
  return Tensor::from({int64_t(xy.size()) / 2, 2}, xy);
}

constexpr int64_t dx = 3, dy = -2;  // image 1 shows what image 0 shows, moved

struct Scene {
  Tensor f0 = random_features(20, 24, 1), f1 = random_features(18, 28, 2);
  Tensor kp0, kp1;
  Scene() {
    for (int64_t y = 0; y < 20; ++y)
      for (int64_t x = 0; x < 24; ++x)
        if (visible(x, y)) copy_feature(f1, x + dx, y + dy, f0, x, y);
    kp0 = keypoints({5, 5, 12, 9, 20, 17, 2, 12});
    kp1 = keypoints({23, 15, 8, 3, 27, 0, 15, 7, 5, 10});  // in another order, one alone
  }
  static bool visible(int64_t x, int64_t y) {
    return x + dx >= 0 && x + dx < 28 && y + dy >= 0 && y + dy < 18;
  }
  MatchResult match(MatcherOptions o, const Tensor& noise = {}) const {
    Random random(7);
    return ucn::match(f0, f1, kp0, kp1, o, random, noise);
  }
};

const MatchMode modes[] = {MatchMode::keypoints, MatchMode::all, MatchMode::all_all};

}  // namespace

TEST_CASE("planted matches are found and kept in every mode, with either test") {
  const Scene scene;
  for (MatchMode mode : modes)
    for (bool stability : {false, true}) {
      CAPTURE(int(mode));
      CAPTURE(stability);
      const MatchResult r = scene.match({.mode = mode, .stability = stability});
      CHECK(r.matches.size() == (mode == MatchMode::all_all ? 20 * 24 : 4));
      CHECK(r.after_ratio == int64_t(r.matches.size()));
      int64_t kept = 0;
      for (const Match& m : r.matches) {
        kept += m.kept;
        if (!Scene::visible(int64_t(m.x0), int64_t(m.y0))) continue;
        CHECK(m.x1 == m.x0 + dx);
        CHECK(m.y1 == m.y0 + dy);
        CHECK(std::fabs(m.score - 1) <= 1e-6);
        // With one keypoint in sight of the moved end, the way back may lead to another: not here,
        // but near the border of what both images show it may lead anywhere.
        if (!stability) CHECK(m.kept);
      }
      CHECK(r.kept == kept);
      if (stability && mode == MatchMode::all) CHECK(kept == 4);
    }
}

TEST_CASE("matches are listed in the order of the starts") {
  const Scene scene;
  const auto all = scene.match({.mode = MatchMode::all_all}).matches;
  CHECK(all[25].x0 == 1);
  CHECK(all[25].y0 == 1);
  const auto some = scene.match({}).matches;
  CHECK(some[2].x0 == 20);
  CHECK(some[2].x1 == 23);
  CHECK(some[2].y1 == 15);
}

TEST_CASE("reciprocity rejects a start whose end belongs to another start") {
  Scene scene;
  // (20, 4) looks much like (5, 5): its nearest is the end of (5, 5), which leads back there.
  near_copy(scene.f0, 20, 4, scene.f0, 5, 5, 12, 9, 0.1f);
  scene.kp0 = keypoints({5, 5, 20, 4});
  for (MatchMode mode : {MatchMode::keypoints, MatchMode::all}) {
    const auto with = scene.match({.mode = mode}).matches;
    CHECK(with[0].kept);
    CHECK(with[1].x1 == 5 + dx);
    CHECK(with[1].y1 == 5 + dy);
    CHECK_FALSE(with[1].kept);
    CHECK(with[1].score < with[0].score);
    CHECK(scene.match({.mode = mode, .reciprocity = false}).matches[1].kept);
  }
}

TEST_CASE("the way back must end less than the radius from the start") {
  Scene scene;
  near_copy(scene.f0, 8, 5, scene.f0, 5, 5, 12, 9, 0.1f);  // leads back to (5, 5), 3 px away
  scene.kp0 = keypoints({5, 5, 8, 5});
  const auto kept = [&](double radius) { return scene.match({.radius = radius}).matches[1].kept; };
  CHECK(kept(3.1));
  CHECK_FALSE(kept(3));
}

TEST_CASE("stability rejects a match whose surroundings do not agree") {
  Scene scene;
  // (12, 9) is alone in image 1 at (20, 4), among pixels that show another part of image 0.
  copy_feature(scene.f1, 12 + dx, 9 + dy, scene.f0, 0, 0);
  copy_feature(scene.f1, 20, 4, scene.f0, 12, 9);
  scene.kp0 = keypoints({12, 9});
  const MatcherOptions plain{.mode = MatchMode::all};
  MatcherOptions stable = plain;
  stable.stability = true;
  CHECK(scene.match(plain).matches[0].x1 == 20);
  CHECK(scene.match(plain).matches[0].kept);
  CHECK_FALSE(scene.match(stable).matches[0].kept);
}

TEST_CASE("the moves may be given, are kept inside the image, and else come from the seed") {
  Scene scene;
  scene.kp0 = keypoints({5, 2, 5, 5});  // (5, 2) ends at (8, 0), on the border
  const MatcherOptions o{.mode = MatchMode::all, .stability = true};
  for (int64_t move : {-1, 1}) {
    const auto m = scene.match(o, keypoints({move, -1, -move, move})).matches;
    CHECK(m[0].kept);
    CHECK(m[1].kept);
  }
  // (5, 5) ends at (8, 3). The top row there leads back to (5, 2), the bottom row to (5, 19).
  CHECK(scene.match(o, keypoints({0, 0, 0, -1000})).matches[1].kept);
  CHECK_FALSE(scene.match(o, keypoints({0, 0, 0, 1000})).matches[1].kept);

  const Tensor f0 = random_features(9, 9, 5), f1 = random_features(9, 9, 6);
  const auto verdicts = [&](uint64_t seed) {
    Random random(seed);
    std::vector<bool> kept;
    for (const Match& m :
         match(f0, f1, {}, {}, {.mode = MatchMode::all_all, .stability = true}, random).matches)
      kept.push_back(m.kept);
    return kept;
  };
  CHECK(verdicts(1) == verdicts(1));
  CHECK(verdicts(1) != verdicts(2));
}

TEST_CASE("the ratio test rejects a start with two ends alike") {
  Scene scene;
  near_copy(scene.f1, 27, 0, scene.f0, 5, 5, 12, 9, 0.01f);    // kp1's loner, almost (5, 5)
  near_copy(scene.f1, 8, 3, scene.f0, 5, 5, 12, 9, -0.0099f);  // the true end, hardly nearer
  const MatchResult r = scene.match({.ratio = 0.95});
  CHECK(r.matches[0].x1 == 8);
  CHECK_FALSE(r.matches[0].kept);
  CHECK(r.matches[1].kept);
  CHECK(r.after_ratio == 3);
  CHECK(r.kept == 3);
  CHECK(scene.match({.ratio = 0.999}).matches[0].kept);
  CHECK(scene.match({}).after_ratio == 4);
}

TEST_CASE("nothing to match gives no matches; mistakes are named") {
  Scene scene;
  scene.kp0 = keypoints({});
  CHECK(scene.match({}).matches.empty());
  const auto id = [](auto&& f) {
    try {
      f();
    } catch (const Error& e) {
      return e.id();
    }
    return ErrorId::usage;
  };
  scene.kp0 = keypoints({24, 0});
  CHECK(id([&] { scene.match({}); }) == ErrorId::index);
  scene.kp0 = keypoints({0, -1});
  CHECK(id([&] { scene.match({}); }) == ErrorId::index);
  scene.kp0 = Tensor();
  CHECK(id([&] { scene.match({}); }) == ErrorId::shape);
  CHECK(id([&] { match_mode("some"); }) == ErrorId::argument);
  CHECK(match_mode("all_all") == MatchMode::all_all);
}

TEST_CASE("hit ratios are what plain loops count") {
  Scene scene;
  Random random(3);
  const int64_t n = 60;
  Tensor p0 = Tensor::empty({n, 2}, DType::f64), p1 = Tensor::empty({n, 2}, DType::f64);
  for (int64_t k = 0; k < n; ++k) {
    double *a = p0.data<double>() + 2 * k, *b = p1.data<double>() + 2 * k;
    a[0] = random.uniform(0, 23);
    a[1] = random.uniform(2, 19);
    // A third are true, a third are wrong by less than the radius, a third by more.
    b[0] = a[0] + dx + double(k % 3) * 2.3;
    b[1] = a[1] + dy;
  }
  const auto nearest = [](Tensor& from, int64_t x, int64_t y, Tensor& to) {
    double best = INFINITY;
    std::pair<int64_t, int64_t> where;
    for (int64_t v = 0; v < to.dim(0); ++v)
      for (int64_t u = 0; u < to.dim(1); ++u) {
        double d = 0;
        for (int64_t c = 0; c < C; ++c) d += std::pow(at(from, x, y)[c] - at(to, u, v)[c], 2);
        if (d < best) best = d, where = {u, v};
      }
    return where;
  };
  double hits = 0, back = 0, both = 0;
  for (int64_t k = 0; k < n; ++k) {
    const int64_t x = std::lround(p0.data<double>()[2 * k]),
                  y = std::lround(p0.data<double>()[2 * k + 1]);
    const auto [u, v] = nearest(scene.f0, x, y, scene.f1);
    const auto [s, t] = nearest(scene.f1, u, v, scene.f0);
    const bool hit = std::hypot(double(u) - p1.data<double>()[2 * k],
                                double(v) - p1.data<double>()[2 * k + 1]) < 4;
    const bool returns = std::hypot(double(s - x), double(t - y)) < 4;
    hits += hit;
    back += returns;
    both += hit && returns;
  }
  const HitRatios r = hit_ratios(scene.f0, scene.f1, p0, p1, 4);
  CHECK(r.hit == hits / double(n));
  CHECK(r.reciprocity == back / double(n));
  CHECK(r.reciprocity_hit == both / back);
  CHECK(r.hit > 0.5);
  CHECK(r.hit < 0.9);
  const Tensor none = Tensor::empty({0, 2}, DType::f64);
  CHECK(hit_ratios(scene.f0, scene.f1, none, none).hit == 0);
}

TEST_CASE("1, 2 and 7 threads give the same matches and scores") {
  const Tensor f0 = random_features(40, 31, 8), f1 = random_features(35, 44, 9);
  const auto with = [&](int threads, int64_t coarse) {
    const int before = num_threads();
    set_num_threads(threads);
    Random random(1);
    const auto r = match(f0, f1, {}, {}, {.mode = MatchMode::all_all, .coarse = coarse}, random);
    set_num_threads(before);
    std::vector<double> all;
    for (const Match& m : r.matches)
      all.insert(all.end(), {m.x0, m.y0, m.x1, m.y1, m.score, double(m.kept)});
    return all;
  };
  for (const int64_t coarse : {0, 4}) {
    const auto one = with(1, coarse);
    CHECK(one.size() == 40 * 31 * 6);
    CHECK(one == with(2, coarse));
    CHECK(one == with(7, coarse));
  }
}

TEST_CASE("moves and positions that do not fit are refused") {
  const Tensor f = random_features(5, 6, 1);
  Random random(1);
  const MatcherOptions stable{.mode = MatchMode::all_all, .stability = true};
  CHECK_NOTHROW(match(f, f, {}, {}, stable, random, Tensor::zeros({30, 2}, DType::i64)));
  CHECK_THROWS_AS(match(f, f, {}, {}, stable, random, Tensor::zeros({29, 2}, DType::i64)), Error);
  const Tensor four = Tensor::zeros({4, 2}, DType::f64), three = Tensor::zeros({3, 2}, DType::f64);
  CHECK_THROWS_AS(hit_ratios(f, f, four, three), Error);
}

TEST_CASE("both ways from one product are the two searches, in every mode") {
  const Tensor f0 = random_features(20, 24, 5), f1 = random_features(18, 28, 6);
  std::vector<int64_t> xy0, xy1;
  Random random(7);
  for (int i = 0; i < 40; ++i) {
    xy0.insert(xy0.end(), {random.below(24), random.below(20)});
    xy1.insert(xy1.end(), {random.below(28), random.below(18)});
  }
  const Tensor kp0 = keypoints(xy0), kp1 = keypoints(xy1);
  /// The index of the pixel, among `pixels`, whose feature is nearest.
  const auto nearest_pixel = [](Tensor f, int64_t x, int64_t y, Tensor g, const Tensor& pixels) {
    double best = INFINITY;
    int64_t found = 0;
    for (int64_t k = 0; k < pixels.dim(0); ++k) {
      const int64_t* p = pixels.data<int64_t>() + 2 * k;
      double d = 0;
      for (int64_t c = 0; c < C; ++c)
        d += std::pow(double(at(f, x, y)[c]) - at(g, p[0], p[1])[c], 2);
      if (d < best) best = d, found = k;
    }
    return std::pair(pixels.data<int64_t>()[2 * found], pixels.data<int64_t>()[2 * found + 1]);
  };
  const auto all_of = [](int64_t height, int64_t width) {
    std::vector<int64_t> xy;
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) xy.insert(xy.end(), {x, y});
    return keypoints(xy);
  };
  const Tensor all0 = all_of(20, 24), all1 = all_of(18, 28);
  for (const MatchMode mode : {MatchMode::keypoints, MatchMode::all, MatchMode::all_all})
    for (const bool stability : {false, true}) {
      const Tensor& from = mode == MatchMode::all_all ? all0 : kp0;
      const Tensor& to = mode == MatchMode::keypoints ? kp1 : all1;
      const Tensor& home = mode == MatchMode::keypoints ? kp0 : all0;
      Tensor noise = Tensor::empty({from.dim(0), 2}, DType::i64);
      for (int64_t& v : noise.span<int64_t>()) v = random.chance(0.5) ? 1 : -1;
      const auto result =
          match(f0, f1, kp0, kp1, {.mode = mode, .stability = stability}, random, noise);
      REQUIRE(int64_t(result.matches.size()) == from.dim(0));
      for (int64_t k = 0; k < from.dim(0); ++k) {
        const int64_t *s = from.data<int64_t>() + 2 * k, *n = noise.data<int64_t>() + 2 * k;
        const auto [x1, y1] = nearest_pixel(f0, s[0], s[1], f1, to);
        const int64_t sx = stability ? std::clamp<int64_t>(x1 + n[0], 0, 27) : x1;
        const int64_t sy = stability ? std::clamp<int64_t>(y1 + n[1], 0, 17) : y1;
        const auto [bx, by] = nearest_pixel(f1, sx, sy, f0, home);
        const Match& m = result.matches[size_t(k)];
        CHECK(m.x1 == x1);
        CHECK(m.y1 == y1);
        CHECK(m.kept == (std::hypot(double(bx - s[0]), double(by - s[1])) < 4));
      }
    }
}

TEST_CASE("coarse to fine finds what the exact search finds where features are smooth") {
  // Features that change slowly, as a network's do: a few waves. Image 1 shows image 0 moved.
  Random random(11);
  const Tensor waves = random_normal({3, C}, random, 0, 0.15);
  const auto image = [&](int64_t h, int64_t w, double off) {
    Tensor f = Tensor::empty({h, w, C});
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x)
        for (int64_t c = 0; c < C; ++c)
          at(f, x, y)[c] = float(std::sin(waves.data<float>()[c] * (double(x) + off) +
                                          waves.data<float>()[C + c] * (double(y) + off) +
                                          20 * waves.data<float>()[2 * C + c]));
    return l2_normalize(f).value();
  };
  const Tensor f0 = image(40, 50, 0), f1 = image(44, 41, 5);
  const auto matched = [&](int64_t coarse, bool stability) {
    Random seed(1);
    return match(f0, f1, {}, {},
                 {.mode = MatchMode::all_all, .stability = stability, .coarse = coarse}, seed);
  };
  for (const bool stability : {false, true})
    for (const int64_t coarse : {2, 4, 100}) {  // 100: one point in the middle, then rounds
      CAPTURE(coarse);
      const MatchResult exact = matched(0, stability), found = matched(coarse, stability);
      CHECK(exact.exact == 1);
      CHECK(found.exact >= (coarse == 100 ? 0.5 : 0.98));
      REQUIRE(found.matches.size() == exact.matches.size());
      int64_t same = 0;
      for (size_t k = 0; k < found.matches.size(); ++k) {
        const Match &a = exact.matches[k], &b = found.matches[k];
        same += a.x1 == b.x1 && a.y1 == b.y1;
        CHECK(b.score <= a.score + 1e-6);  // never better than the best
        if (a.x1 == b.x1 && a.y1 == b.y1) CHECK(std::fabs(b.score - a.score) <= 1e-6);
      }
      CHECK(std::fabs(double(same) / 2000 - found.exact) <= 0.1);
    }
}

TEST_CASE("a search by cells that keeps all cells is exact; with fewer, never better than exact") {
  Random random(3);
  const Tensor to = l2_normalize(random_normal({13, 18, C}, random)).value();
  const Tensor queries = l2_normalize(random_normal({40, C}, random)).value();
  const Tensor rows = to.reshape({13 * 18, C});
  const auto exact = kernels::nearest(queries, rows);
  for (const int64_t stride : {2, 3, 5}) {
    const Tensor all = nearest_by_cells(queries, to, stride, 13 * 18);
    const Tensor few = nearest_by_cells(queries, to, stride, 2);
    const Tensor further = kernels::row_distance2(queries, kernels::gather_rows(rows, few));
    for (int64_t k = 0; k < 40; ++k) {
      CHECK(all.data<int64_t>()[k] == exact.index.data<int64_t>()[k]);
      CHECK(further.data<float>()[k] >= exact.distance.data<float>()[k] - 1e-6f);
    }
  }
  CHECK(nearest_by_cells(queries, to, 100, 1).data<int64_t>()[0] >= 0);  // one cell, in the middle
  CHECK(nearest_by_cells(Tensor::empty({0, C}), to, 4, 8).numel() == 0);
  CHECK(error_of([&] { nearest_by_cells(queries, to, 1, 8); }).find("at least 2") !=
        std::string::npos);
}

TEST_CASE("a scan finds what lies above its limit, in order, while the limit rises") {
  for (const int64_t n : {0, 1, 31, 32, 33, 64, 100}) {
    std::vector<float> values(size_t(n), 0.5f);
    std::vector<int64_t> expected;
    for (int64_t k = 3; k < n; k += 13) {  // every second is higher than all before
      values[size_t(k)] = k % 2 ? float(k) : 0.9f;
      if (k % 2) expected.push_back(k);
    }
    if (n > 32) {
      values[size_t(n - 1)] = 1000;
      expected.push_back(n - 1);
      values[20] = NAN;
    }
    float limit = 0.95f;
    std::vector<int64_t> found;
    for_each_above(values.data(), n, limit, [&](int64_t k) {
      found.push_back(k);
      limit = values[size_t(k)];
    });
    CHECK(found == expected);
  }
}

TEST_CASE("coarse to fine says what it cannot do") {
  const Scene scene;
  const auto message = [&](MatcherOptions o) { return error_of([&] { scene.match(o); }); };
  for (const MatcherOptions& o :
       {MatcherOptions{.coarse = 4}, {.mode = MatchMode::all_all, .ratio = 0.9, .coarse = 4}})
    CHECK(message(o).find("coarse to fine is for modes all and all_all without the ratio test") !=
          std::string::npos);
  CHECK(message({.mode = MatchMode::all_all, .coarse = 1}).find("must be at least 2") !=
        std::string::npos);
}

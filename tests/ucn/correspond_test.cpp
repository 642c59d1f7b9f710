// The pipeline that people use: symmetric, filtered, finer than a pixel.
#include "ucn/correspond.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/errors.h"
#include "ucn/keypoints.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

/// Features that change smoothly with the place: C plane waves, moved by (dx, dy).
Tensor waves(int64_t h, int64_t w, double dx, double dy, uint64_t seed = 3) {
  constexpr int64_t c = 32;
  Random random(seed);
  std::vector<std::array<double, 3>> wave;
  for (int64_t k = 0; k < c; ++k)
    wave.push_back({random.uniform(-0.4, 0.4), random.uniform(-0.4, 0.4), random.uniform(0, 6.28)});
  Tensor f = Tensor::empty({h, w, c});
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      float* v = f.data<float>() + (y * w + x) * c;
      double norm = 0;
      for (int64_t k = 0; k < c; ++k) {
        const auto& [a, b, phase] = wave[size_t(k)];
        v[k] = float(std::cos(a * (double(x) - dx) + b * (double(y) - dy) + phase));
        norm += double(v[k]) * v[k];
      }
      for (int64_t k = 0; k < c; ++k) v[k] /= float(std::sqrt(norm));
    }
  return f;
}

Tensor some_keypoints(int64_t h, int64_t w, int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<double> xy;
  for (int64_t k = 0; k < count; ++k) {
    xy.push_back(random.uniform(4, double(w - 5)));
    xy.push_back(random.uniform(4, double(h - 5)));
  }
  return Tensor::from({count, 2}, xy);
}

constexpr double dx = 2.3, dy = -1.6;  // what is at (x, y) in photo 0 is at (x + dx, y + dy) in 1
struct Scene {
  PhotoFeatures a = describe(waves(40, 48, 0, 0), some_keypoints(40, 48, 60, 1));
  PhotoFeatures b = describe(waves(44, 46, dx, dy), some_keypoints(44, 46, 70, 2));
};

using Ends = std::array<double, 4>;
std::vector<Ends> sorted_ends(const Correspondences& c, bool swap) {
  std::vector<Ends> ends;
  for (const Correspondence& m : c.matches)
    ends.push_back(swap ? Ends{m.x1, m.y1, m.x0, m.y0} : Ends{m.x0, m.y0, m.x1, m.y1});
  std::ranges::sort(ends);
  return ends;
}
double mean_error(const Correspondences& c) {
  double sum = 0;
  for (const Correspondence& m : c.matches)
    sum += std::hypot(m.x0 + dx - m.x1, m.y0 + dy - m.y1) / double(c.matches.size());
  return sum;
}

}  // namespace

TEST_CASE("swapping the photos swaps the matches and changes nothing else") {
  const Scene s;
  for (const MatchMode mode : {MatchMode::keypoints, MatchMode::all, MatchMode::all_all}) {
    CAPTURE(int(mode));
    for (const double ratio : {1.0, 0.95})
      for (const bool judged : {false, true}) {
        const CorrespondOptions o{.mode = mode,
                                  .ratio = ratio,
                                  .min_probability = ratio < 1 ? 0.001 : 0,
                                  .confidence = judged};
        const auto there = correspond(s.a, s.b, o), back = correspond(s.b, s.a, o);
        CHECK(there.matches.size() > 5);
        CHECK(sorted_ends(there, false) == sorted_ends(back, true));
        // The most distinct first; the most similar where rivals were not looked at.
        const bool rivals = ratio < 1 || (judged && mode != MatchMode::all_all);
        for (size_t k = 1; k < there.matches.size(); ++k) {
          const Correspondence &better = there.matches[k - 1], &worse = there.matches[k];
          CHECK(better.ratio <= worse.ratio);
          CHECK((rivals || better.score >= worse.score));
          CHECK(rivals == (worse.ratio != 1));
        }
      }
  }
  const CorrespondOptions stable{.stability = true, .seed = 4};
  CHECK(correspond(s.a, s.b, stable).matches.size() > 0);
}

TEST_CASE("matches that no neighbours confirm are taken away, the same of swapped photos") {
  const Tensor points = some_keypoints(40, 48, 60, 1);
  PhotoFeatures a = describe(waves(40, 48, 0, 0), points), b = a;
  for (int64_t k = 0; k < 8; ++k)  // of 60 keypoints 16 look like another one
    std::swap_ranges(b.descriptors.data<float>() + k * 32,
                     b.descriptors.data<float>() + k * 32 + 32,
                     b.descriptors.data<float>() + (59 - k) * 32);
  CorrespondOptions o{.mode = MatchMode::keypoints, .subpixel = false, .keep_removed = true};
  CHECK(correspond(a, b, o).matches.size() == 60);
  o.support = 3;
  const auto there = correspond(a, b, o), back = correspond(b, a, o);
  CHECK(there.stages.back().name == "support");
  CHECK(there.stages.back().left == int64_t(there.matches.size()));
  CHECK(there.matches.size() >= 40);
  for (const Correspondence& m : there.matches) CHECK(m.keypoint0 == m.keypoint1);
  REQUIRE(there.removed.size() == 60 - there.matches.size());
  for (const auto& r : there.removed) CHECK(r.by == "support");
  CHECK(sorted_ends(there, false) == sorted_ends(back, true));

  PhotoFeatures unknown = a;
  unknown.extent = 0;
  CHECK_THROWS_WITH_AS(correspond(unknown, b, o), doctest::Contains("extent"), Error);
  o.mode = MatchMode::all_all;
  CHECK_THROWS_WITH_AS(correspond(a, b, o), doctest::Contains("all_all"), Error);
}

TEST_CASE("positions are finer than a pixel") {
  const Scene s;
  for (const MatchMode mode : {MatchMode::all, MatchMode::all_all}) {
    CAPTURE(int(mode));
    const double whole = mean_error(correspond(s.a, s.b, {.mode = mode, .subpixel = false}));
    const double fine = mean_error(correspond(s.a, s.b, {.mode = mode}));
    CHECK(whole > 0.25);
    CHECK(fine < 0.1);
  }
}

TEST_CASE("a keypoint has one match at most, and mode keypoints names it") {
  const Scene s;
  const auto c = correspond(s.a, s.b, {.mode = MatchMode::keypoints, .subpixel = false});
  std::vector<int64_t> used0, used1;
  for (const Correspondence& m : c.matches) {
    used0.push_back(m.keypoint0);
    used1.push_back(m.keypoint1);
    CHECK(m.x0 == s.a.keypoints.data<double>()[2 * m.keypoint0]);
    CHECK(m.y1 == s.b.keypoints.data<double>()[2 * m.keypoint1 + 1]);
  }
  for (auto* used : {&used0, &used1}) {
    std::ranges::sort(*used);
    CHECK(std::ranges::adjacent_find(*used) == used->end());
  }
  // Without dense features, as of tiles, the same comes out.
  PhotoFeatures a = s.a, b = s.b;
  a.dense = b.dense = {};
  const auto bare = correspond(a, b, {.mode = MatchMode::keypoints, .ratio = 0.99});
  CHECK(bare.matches.size() > 0);
  CHECK(error_of([&] { correspond(a, b, {.mode = MatchMode::all}); }).find("all pixels") !=
        std::string::npos);
}

TEST_CASE("the dual softmax is the product of both photos' shares") {
  // Two keypoints each: cosines 1 and c.
  const double c = 0.6, t = 0.05;
  const std::vector<float> rows = {1, 0, float(c), float(std::sqrt(1 - c * c))};
  const Tensor keypoints = Tensor::from({2, 2}, std::vector<double>{1, 1, 5, 5});
  const PhotoFeatures p{{}, keypoints, Tensor::from({2, 2}, rows)};
  const auto found =
      correspond(p, p, {.mode = MatchMode::keypoints, .min_probability = 1e-9, .temperature = t});
  REQUIRE(found.matches.size() == 2);
  const double share = 1 / (1 + std::exp((c - 1) / t));
  CHECK(found.matches[0].probability == doctest::Approx(share * share).epsilon(1e-4));
  // The ratio of distances to the match (0) and to the rival passes, and that of a twin does not.
  CHECK(correspond(p, p, {.mode = MatchMode::keypoints, .ratio = 0.5}).matches.size() == 2);
  const PhotoFeatures twins{{}, keypoints, Tensor::from({2, 2}, std::vector<float>{1, 0, 1, 0})};
  CHECK(correspond(twins, twins, {.mode = MatchMode::keypoints, .ratio = 0.99}).matches.empty());
}

TEST_CASE("what filters remove is kept where asked for, and nothing else changes") {
  const Scene s;
  for (const MatchMode mode : {MatchMode::keypoints, MatchMode::all, MatchMode::all_all}) {
    CAPTURE(int(mode));
    CorrespondOptions o{.mode = mode, .min_similarity = 0.9, .ratio = 0.9};
    const auto plain = correspond(s.a, s.b, o);
    CHECK(plain.removed.empty());
    o.keep_removed = true;
    const auto kept = correspond(s.a, s.b, o);
    CHECK(sorted_ends(kept, false) == sorted_ends(plain, false));
    // Of each filter as many as are missing after it.
    std::map<std::string, int64_t> by;
    for (const auto& r : kept.removed) ++by[r.by];
    for (size_t k = 1; k < kept.stages.size(); ++k)
      if (const std::string& name = kept.stages[k].name; name != "one per place") {
        CAPTURE(name);
        CHECK(by[name] == kept.stages[k - 1].left - kept.stages[k].left);
      }
    for (const auto& r : kept.removed)
      if (r.by == "ratio") CHECK(r.match.ratio >= 0.9);
    CHECK(by.size() > 1);
  }
}

TEST_CASE("confidence grows with the cosine and falls with the ratio; all_all goes without") {
  CHECK(match_confidence(0.3, 0.95) > 0.95);
  CHECK(match_confidence(0.95, 0.6) < 0.4);
  CHECK(match_confidence(0.5, 0.9) > match_confidence(0.6, 0.9));
  CHECK(match_confidence(0.5, 0.9) > match_confidence(0.5, 0.8));
  const Scene s;
  for (const MatchMode mode : {MatchMode::keypoints, MatchMode::all, MatchMode::all_all})
    for (const double ratio : {1.0, 0.98})
      for (const bool asked : {true, false}) {
        CAPTURE(int(mode));
        CAPTURE(ratio);
        CAPTURE(asked);
        const auto c = correspond(s.a, s.b, {.mode = mode, .ratio = ratio, .confidence = asked});
        REQUIRE(!c.matches.empty());
        const bool judged = ratio < 1 || (asked && mode != MatchMode::all_all);
        for (const Correspondence& m : c.matches)
          CHECK(m.confidence == (judged ? match_confidence(m.ratio, m.score) : -1));
      }
}

TEST_CASE("no keypoints, no matches") {
  const Scene s;
  const PhotoFeatures none = describe(s.a.dense, Tensor::zeros({0, 2}, DType::f64));
  for (const MatchMode mode : {MatchMode::keypoints, MatchMode::all}) {
    const auto c = correspond(none, none, {.mode = mode, .ratio = 0.8});
    CHECK(c.matches.empty());
    CHECK(c.stages[0].left == 0);
  }
}

TEST_CASE("of points nearer than the radius the earlier stay") {
  const Tensor p = Tensor::from({5, 2}, std::vector<double>{0, 0, 0.9, 0, 1.8, 0, 5, 5, 5, 5.5});
  CHECK(apart(p, 1) == std::vector<int64_t>{0, 2, 3});
  CHECK(apart(p, 0.1).size() == 5);
}

// The losses, compared with plain loops over doubles.
#include "ucn/loss.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "autograd/gradcheck.h"
#include "tensor/parallel.h"
#include "tests/compare.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

using Vector = std::vector<double>;

Tensor unit_features(const Shape& shape, uint64_t seed, DType type = DType::f64) {
  Random random(seed);
  return l2_normalize(random_normal(shape, random, 0, 1, DType::f64)).value().to(type);
}

TrueMatches random_matches(int64_t count, const Tensor& f0, const Tensor& f1, uint64_t seed) {
  Random random(seed);
  const auto positions = [&](const Tensor& f) {
    Tensor t = Tensor::empty({count, 2}, DType::f64);
    for (int64_t k = 0; k < count; ++k) {
      t.data<double>()[2 * k] = random.uniform(0, double(f.dim(2) - 1));
      t.data<double>()[2 * k + 1] = random.uniform(0, double(f.dim(1) - 1));
    }
    return t;
  };
  TrueMatches c;
  c.positions0 = positions(f0);
  c.positions1 = positions(f1);
  return c;
}

struct Problem {
  Tensor f0, f1;
  std::vector<TrueMatches> matches;
  std::vector<LossDraws> draws;
};

/// Two pairs of small images of different sizes.
Problem problem(const LossOptions& o, DType type = DType::f64) {
  Problem p{unit_features({2, 9, 11, 6}, 1, type), unit_features({2, 10, 8, 6}, 2, type), {}, {}};
  Random random(3);
  for (uint64_t b = 0; b < 2; ++b) {
    p.matches.push_back(random_matches(12 + int64_t(b), p.f0, p.f1, 10 + b));
    p.draws.push_back(draw_for_loss(p.matches[b].count(), p.f0.shape(), p.f1.shape(), o, random));
  }
  return p;
}

const LossOptions small{.num_pos = 7, .num_hn_samples = 30, .radius = 2.5};

// The plain loops.

Vector pixel(const Tensor& f, int64_t b, int64_t x, int64_t y) {
  const int64_t c = f.dim(3);
  const double* p = f.data<double>() + ((b * f.dim(1) + y) * f.dim(2) + x) * c;
  return Vector(p, p + c);
}

Vector feature_at(const Tensor& f, int64_t b, double x, double y, bool floored) {
  const int64_t x0 = int64_t(x), y0 = int64_t(y);
  if (floored) return pixel(f, b, x0, y0);
  const int64_t x1 = std::min(x0 + 1, f.dim(2) - 1), y1 = std::min(y0 + 1, f.dim(1) - 1);
  const double u = x - double(x0), v = y - double(y0);
  Vector sum(size_t(f.dim(3)), 0.0);
  double square = 0;
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i] = (1 - v) * ((1 - u) * pixel(f, b, x0, y0)[i] + u * pixel(f, b, x1, y0)[i]) +
             v * ((1 - u) * pixel(f, b, x0, y1)[i] + u * pixel(f, b, x1, y1)[i]);
    square += sum[i] * sum[i];
  }
  for (double& s : sum) s /= std::sqrt(square) + 1e-8;
  return sum;
}

double distance2(const Vector& a, const Vector& b) {
  double d = 0;
  for (size_t i = 0; i < a.size(); ++i) d += (a[i] - b[i]) * (a[i] - b[i]);
  return d;
}

double mean_of(const Vector& v, double if_empty) {
  double sum = 0;
  for (double x : v) sum += x;
  return v.empty() ? if_empty : sum / double(v.size());
}

struct Expected {
  double positive = 0, negative = 0;
};

Expected expected(const Problem& p, const LossOptions& o, bool hardest) {
  Expected e;
  const int64_t n = p.f0.dim(0);
  for (int64_t b = 0; b < n; ++b) {
    const TrueMatches& m = p.matches[size_t(b)];
    const LossDraws& d = p.draws[size_t(b)];
    const auto anchor = [&](int image, int64_t k) {
      const double* xy = (image ? m.positions1 : m.positions0).data<double>() + 2 * k;
      return feature_at(image ? p.f1 : p.f0, b, xy[0], xy[1], o.floor_positions);
    };
    Vector positives;
    for (int64_t k = 0; k < m.count(); ++k)
      positives.push_back(std::max(0.0, distance2(anchor(0, k), anchor(1, k)) - o.pos_thresh));
    e.positive += mean_of(positives, 0) / double(n);

    // costs[i], far[i]: of the negatives found in image i.
    Vector costs[2];
    std::vector<bool> far[2];
    for (int other : {0, 1}) {
      const Tensor &f = other ? p.f1 : p.f0, &pixels = other ? d.pixels1 : d.pixels0;
      for (int64_t k : d.positives.span<int64_t>()) {
        const double* t = (other ? m.positions1 : m.positions0).data<double>() + 2 * k;
        double nearest = INFINITY;
        bool nearest_far = false;
        for (int64_t at : pixels.span<int64_t>()) {
          const int64_t x = at % f.dim(2), y = at / f.dim(2);
          const double d2 = distance2(anchor(1 - other, k), pixel(f, b, x, y));
          const bool whole = o.floor_positions && hardest;  // the contrastive radius never floors
          const double tx = whole ? std::floor(t[0]) : t[0], ty = whole ? std::floor(t[1]) : t[1];
          const bool outside = std::hypot(double(x) - tx, double(y) - ty) > o.radius;
          if (d2 < nearest) {
            nearest = d2;
            nearest_far = outside;
          }
          const double distance = std::sqrt(d2 + std::pow(2.0, -23));
          if (!hardest && outside && distance < o.neg_thresh)
            costs[other].push_back(std::pow(o.neg_thresh - distance, 2));
        }
        if (!hardest) continue;
        costs[other].push_back(std::pow(std::max(0.0, o.neg_thresh - nearest), 2));
        far[other].push_back(nearest_far);
      }
    }
    for (int i : {0, 1}) {
      Vector counted = costs[i];
      if (hardest) {
        counted.clear();
        for (size_t k = 0; k < costs[i].size(); ++k)
          if (far[o.reference_masks ? 1 - i : i][k]) counted.push_back(costs[i][k]);
      }
      e.negative += 0.5 * mean_of(counted, o.reference_masks ? NAN : 0) / double(n);
    }
  }
  return e;
}

LossTerms run(const Problem& p, const LossOptions& o, bool hardest, const Var& f0, const Var& f1) {
  return hardest ? hardest_contrastive(f0, f1, p.matches, p.draws, o)
                 : contrastive(f0, f1, p.matches, p.draws, o);
}

}  // namespace

TEST_CASE("both losses are what plain loops give, floored or interpolated, with either masks") {
  for (bool hardest : {true, false})
    for (bool floored : {true, false})
      for (bool reference : {true, false}) {
        CAPTURE(hardest);
        CAPTURE(floored);
        CAPTURE(reference);
        LossOptions o = small;
        o.floor_positions = floored;
        o.reference_masks = reference && hardest;
        const Problem p = problem(o);
        const LossTerms terms = run(p, o, hardest, p.f0, p.f1);
        const Expected e = expected(p, o, hardest);
        CHECK(e.positive > 0.1);
        CHECK(e.negative > 0.01);
        CHECK(std::fabs(terms.positive.item() - e.positive) <= 1e-12);
        CHECK(std::fabs(terms.negative.item() - e.negative) <= 1e-12);
        o.neg_weight = 0.3;
        CHECK(std::fabs(terms.total(o).item() - (e.positive + 0.3 * e.negative)) <= 1e-12);
      }
}

TEST_CASE("float32 agrees with double") {
  for (bool hardest : {true, false}) {
    const Problem p = problem(small), single = problem(small, DType::f32);
    const LossTerms a = run(single, small, hardest, single.f0, single.f1);
    const LossTerms b = run(p, small, hardest, p.f0, p.f1);
    CHECK(std::fabs(a.positive.item() - b.positive.item()) <= 1e-6);
    CHECK(std::fabs(a.negative.item() - b.negative.item()) <= 1e-6);
  }
}

TEST_CASE("the gradient of the whole loss is right, through normalisation and interpolation") {
  for (bool hardest : {true, false})
    for (bool floored : {true, false}) {
      LossOptions o = small;
      o.floor_positions = floored;
      const Problem p = problem(o);
      const Sample sample{"loss", {{p.f0.shape()}, {p.f1.shape()}}, [&](const std::vector<Var>& v) {
                            const LossTerms t =
                                run(p, o, hardest, l2_normalize(v[0]), l2_normalize(v[1]));
                            return t.total(o);
                          }};
      for (uint64_t seed : {1, 2}) {
        const GradcheckResult r = gradcheck(sample, seed);
        CHECK_MESSAGE(r.ok, r.where);
      }
    }
}

namespace {

/// InfoNCE by plain loops: what compute_loss() calls positive and negative.
Expected expected_info_nce(const Problem& p, const LossOptions& o) {
  Expected e;
  const int64_t n = p.f0.dim(0);
  const auto dot = [](const Vector& a, const Vector& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  for (int64_t b = 0; b < n; ++b) {
    const TrueMatches& m = p.matches[size_t(b)];
    const LossDraws& d = p.draws[size_t(b)];
    Vector alignments, costs;
    for (int side : {0, 1})  // of the candidates
      for (int64_t k : d.positives.span<int64_t>()) {
        const auto at = [&](int image) {
          return (image ? m.positions1 : m.positions0).data<double>() + 2 * k;
        };
        const auto feature = [&](int image) {
          return feature_at(image ? p.f1 : p.f0, b, at(image)[0], at(image)[1], false);
        };
        const Vector anchor = feature(1 - side);
        const double own = (1 - distance2(anchor, feature(side)) / 2) / o.temperature;
        double sum = std::exp(own);
        const Tensor& f = side ? p.f1 : p.f0;
        for (int64_t other = 0; other < n; ++other) {
          if (other != b && !o.batch_negatives) continue;
          const LossDraws& theirs = p.draws[size_t(other)];
          for (int64_t pixel_at : (side ? theirs.pixels1 : theirs.pixels0).span<int64_t>()) {
            const int64_t x = pixel_at % f.dim(2), y = pixel_at / f.dim(2);
            const double away = std::hypot(double(x) - at(side)[0], double(y) - at(side)[1]);
            if (other != b || away > o.radius)
              sum += std::exp(dot(anchor, pixel(f, other, x, y)) / o.temperature);
          }
        }
        alignments.push_back(1 / o.temperature - own);
        costs.push_back(std::log(sum) - own);
      }
    e.positive += mean_of(alignments, 0) / double(n);
    e.negative += (mean_of(costs, 0) - mean_of(alignments, 0)) / double(n);
  }
  return e;
}

}  // namespace

TEST_CASE("InfoNCE is what plain loops give, with and without the batch's other images") {
  for (bool others : {true, false}) {
    LossOptions o = small;
    o.temperature = 0.2;
    o.batch_negatives = others;
    Problem p = problem(o);
    for (bool empty : {false, true}) {
      CAPTURE(others);
      CAPTURE(empty);
      Random random(7);
      if (empty) {  // of correspondences; its pixels are still negatives of the other pair
        p.matches[1] = random_matches(0, p.f0, p.f1, 1);
        p.draws[1] = draw_for_loss(0, p.f0.shape(), p.f1.shape(), o, random);
      }
      const LossTerms terms = info_nce(p.f0, p.f1, p.matches, p.draws, o);
      const Expected e = expected_info_nce(p, o);
      CHECK(e.positive > 0.1);
      CHECK(std::fabs(e.negative) > 0.05);
      CHECK(std::fabs(terms.positive.item() - e.positive) <= 1e-11);
      CHECK(std::fabs(terms.negative.item() - e.negative) <= 1e-11);
    }
    const Problem whole = problem(o);
    const Sample sample{"infonce", {{p.f0.shape()}, {p.f1.shape()}}, [&](const auto& v) {
                          return info_nce(l2_normalize(v[0]), l2_normalize(v[1]), whole.matches,
                                          whole.draws, o)
                              .total(o);
                        }};
    const GradcheckResult r = gradcheck(sample, 3);
    CHECK_MESSAGE(r.ok, r.where);
  }
}

TEST_CASE("InfoNCE in float32 agrees with double, and is small for features that tell all apart") {
  const Problem p = problem(small), single = problem(small, DType::f32);
  const LossTerms a = info_nce(single.f0, single.f1, single.matches, single.draws, small);
  const LossTerms b = info_nce(p.f0, p.f1, p.matches, p.draws, small);
  CHECK(std::fabs(a.total(small).item() - b.total(small).item()) <= 1e-4);
  // Pixels that are alike in both images and unlike each other.
  Tensor f = Tensor::zeros({1, 3, 3, 9}, DType::f64);
  for (int64_t i = 0; i < 9; ++i) f.data<double>()[9 * i + i] = 1;
  Problem same{f, f, {random_matches(5, f, f, 5)}, {}};
  for (double& v : same.matches[0].positions0.span<double>()) v = std::floor(v);
  same.matches[0].positions1 = same.matches[0].positions0;
  LossOptions o{.num_pos = 5, .num_hn_samples = 9, .radius = 0.5};
  Random random(6);
  same.draws = {draw_for_loss(5, f.shape(), f.shape(), o, random)};
  const LossTerms good = info_nce(f, f, same.matches, same.draws, o);
  CHECK(good.positive.item() == doctest::Approx(0));
  CHECK(good.total(o).item() == doctest::Approx(8 * std::exp(-1 / o.temperature)).epsilon(0.01));
}

TEST_CASE("distillation is the mean of 1 - cosine over both images, and so is its gradient") {
  const Tensor f[] = {unit_features({2, 3, 4, 6}, 1), unit_features({2, 5, 3, 6}, 2)},
               t[] = {unit_features({2, 3, 4, 6}, 3), unit_features({2, 5, 3, 6}, 4)};
  double expected = 0;
  for (int i = 0; i < 2; ++i) {
    double sum = 0;
    for (int64_t k = 0; k < f[i].numel(); ++k)
      sum += f[i].data<double>()[k] * t[i].data<double>()[k];
    expected += (1 - sum / double(f[i].numel() / 6)) / 2;
  }
  const LossTerms terms = distillation(Var(f[0]), Var(f[1]), t[0], t[1]);
  CHECK(terms.positive.item() == doctest::Approx(expected).epsilon(1e-7));
  CHECK(terms.negative.item() == 0);
  CHECK(distillation(Var(t[0]), Var(t[1]), t[0], t[1]).positive.item() == 0);
  CHECK(distillation(Var(f[0].to(DType::f32)), Var(f[1].to(DType::f32)), t[0].to(DType::f32),
                     t[1].to(DType::f32))
            .positive.item() == doctest::Approx(expected).epsilon(1e-5));
  const Sample sample{
      "distillation", {{f[0].shape()}, {f[1].shape()}}, [&](const std::vector<Var>& v) {
        return distillation(l2_normalize(v[0]), l2_normalize(v[1]), t[0], t[1]).positive;
      }};
  const GradcheckResult r = gradcheck(sample, 1);
  CHECK_MESSAGE(r.ok, r.where);
  CHECK_THROWS_AS(distillation(Var(f[0]), Var(f[1]), t[1], t[0]), Error);
}

TEST_CASE("passes of single pairs that are added up give the loss and gradient of the batch") {
  LossOptions o = small;
  o.batch_negatives = false;
  const Problem p = problem(o);
  const auto one = [](const Tensor& f, int64_t b) {
    const int64_t size = f.numel() / f.dim(0);
    const double* from = f.data<double>() + b * size;
    return Tensor::from({size}, Vector(from, from + size))
        .reshape({1, f.dim(1), f.dim(2), f.dim(3)});
  };
  using Whole = LossTerms (*)(const Var&, const Var&, std::span<const TrueMatches>,
                              std::span<const LossDraws>, const LossOptions&);
  for (const Whole whole : {Whole(hardest_contrastive), Whole(contrastive), Whole(info_nce)}) {
    const Var f0(p.f0, true), f1(p.f1, true);
    const Var total = whole(f0, f1, p.matches, p.draws, o).total(o);
    total.backward();
    double sum = 0;
    Vector gradient;
    for (size_t b = 0; b < 2; ++b) {
      const Var a(one(p.f0, int64_t(b)), true), c(one(p.f1, int64_t(b)), true);
      const Var half = scale(
          whole(a, c, std::span(&p.matches[b], 1), std::span(&p.draws[b], 1), o).total(o), 0.5);
      half.backward();
      sum += half.item();
      for (const double g : a.grad().to_vector()) gradient.push_back(g);
    }
    CHECK(std::fabs(sum - total.item()) <= 1e-12);
    const auto expected = f0.grad().to_vector();
    REQUIRE(gradient.size() == expected.size());
    for (size_t i = 0; i < gradient.size(); ++i)
      CHECK(std::fabs(gradient[i] - expected[i]) <= 1e-12);
  }
}

TEST_CASE("the nearest pixel costs nothing when it lies at the true match") {
  // Both images are alike and every match is true, so each hardest negative is the match itself.
  const Tensor f = unit_features({1, 6, 7, 5}, 4);
  Problem p{f, f, {random_matches(9, f, f, 5)}, {}};
  for (double& v : p.matches[0].positions0.span<double>()) v = std::floor(v);
  p.matches[0].positions1 = p.matches[0].positions0;
  LossOptions o = small;
  o.num_hn_samples = 1000;  // all pixels
  Random random(6);
  p.draws = {draw_for_loss(9, f.shape(), f.shape(), o, random)};
  for (bool floored : {true, false}) {
    o.floor_positions = floored;
    const Var f0(f, true), f1(f.clone(), true);
    o.reference_masks = false;
    const LossTerms ours = run(p, o, true, f0, f1);
    CHECK(ours.positive.item() == 0);
    CHECK(ours.negative.item() == 0);
    // The reference's mean over nothing is NaN, but moves nothing.
    o.reference_masks = true;
    const LossTerms theirs = run(p, o, true, f0, f1);
    CHECK(std::isnan(theirs.negative.item()));
    theirs.total(o).backward();
    CHECK(difference(f0.grad(), Tensor::zeros(f.shape(), DType::f64)) == 0);
  }
}

TEST_CASE("a pair without correspondences costs nothing and moves nothing") {
  for (bool hardest : {true, false}) {
    Problem p = problem(small);
    const double other = run(p, small, hardest, p.f0, p.f1).positive.item();
    Random random(7);
    p.matches[1] = random_matches(0, p.f0, p.f1, 1);
    p.draws[1] = draw_for_loss(0, p.f0.shape(), p.f1.shape(), small, random);
    const Var f0(p.f0, true), f1(p.f1, true);
    const LossTerms terms = run(p, small, hardest, f0, f1);
    const Expected e = expected(p, small, hardest);
    CHECK(std::fabs(terms.positive.item() - e.positive) <= 1e-12);
    CHECK(std::fabs(terms.negative.item() - e.negative) <= 1e-12);
    CHECK(terms.positive.item() < other);
    terms.total(small).backward();
    const auto g = f0.grad().to_vector();
    const size_t half = g.size() / 2;
    CHECK(
        std::ranges::any_of(g.begin(), g.begin() + int64_t(half), [](double v) { return v != 0; }));
    CHECK(std::ranges::all_of(g.begin() + int64_t(half), g.end(), [](double v) { return v == 0; }));
  }
}

TEST_CASE("draws are distinct, in range, as many as there are, and the seed's") {
  LossOptions o;
  o.num_pos = 20;
  o.num_hn_samples = 100;
  const Shape s0{1, 8, 30, 4}, s1{1, 12, 9, 4};  // in common: 8 x 9 pixels
  const auto draw = [&](int64_t matches, uint64_t seed) {
    Random random(seed);
    return draw_for_loss(matches, s0, s1, o, random);
  };
  const LossDraws few = draw(5, 1), many = draw(50, 1);
  CHECK(few.positives.numel() == 5);
  CHECK(many.positives.numel() == 20);
  CHECK(many.pixels0.numel() == 72);
  CHECK(many.pixels1.numel() == 72);
  const auto check = [](const Tensor& t, int64_t limit) {
    const std::set<int64_t> distinct(t.span<int64_t>().begin(), t.span<int64_t>().end());
    CHECK(int64_t(distinct.size()) == t.numel());
    CHECK(*distinct.begin() >= 0);
    CHECK(*distinct.rbegin() < limit);
  };
  check(many.positives, 50);
  check(many.pixels0, 8 * 30);
  check(many.pixels1, 12 * 9);
  CHECK(same_bits(many.pixels0, draw(50, 1).pixels0));
  CHECK_FALSE(same_bits(many.pixels0, draw(50, 2).pixels0));
}

TEST_CASE("1, 2 and 7 threads give equal bits") {
  LossOptions o = small;
  o.num_pos = 200;
  o.num_hn_samples = 500;
  Problem p{unit_features({1, 40, 33, 16}, 1, DType::f32),
            unit_features({1, 37, 41, 16}, 2, DType::f32),
            {},
            {}};
  p.matches = {random_matches(300, p.f0, p.f1, 3)};
  Random random(4);
  p.draws = {draw_for_loss(300, p.f0.shape(), p.f1.shape(), o, random)};
  for (bool hardest : {true, false}) {
    const auto with = [&](int threads) {
      const int before = num_threads();
      set_num_threads(threads);
      const Var f0(p.f0, true), f1(p.f1, true);
      const Var total = run(p, o, hardest, f0, f1).total(o);
      total.backward();
      set_num_threads(before);
      return std::vector<Tensor>{total.value(), f0.grad(), f1.grad()};
    };
    const auto one = with(1);
    for (int threads : {2, 7}) {
      const auto other = with(threads);
      for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], other[i]));
    }
  }
}

TEST_CASE("mistakes are named") {
  Problem p = problem(small);
  const auto id = [&] {
    try {
      run(p, small, true, p.f0, p.f1);
    } catch (const Error& e) {
      return e.id();
    }
    return ErrorId::usage;
  };
  p.matches[0].positions0.data<double>()[0] = 10.5;  // the last column is 10
  CHECK(id() == ErrorId::index);
  p.matches[0].positions0.data<double>()[0] = NAN;
  CHECK(id() == ErrorId::index);
  p = problem(small);
  p.matches.pop_back();
  CHECK(id() == ErrorId::shape);
}

// What the score head is taught, and that it learns it.
#include "ucn/score_head.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nn/optim.h"
#include "tests/compare.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

constexpr int64_t side = 12, channels = 16;

/// Two images of one scene, the second moved by (2, 0): features of unit length that are all
/// different, but for a band of columns that all look the same.
struct Scene {
  Tensor f0, f1;
  TrueMatches matches;
  LossInputs inputs;
  static bool plain(int64_t x) { return x >= 5 && x < 8; }
  explicit Scene(uint64_t seed, int64_t moved = 2) {
    Random random(seed);
    const int64_t width = side + 2;
    Tensor wide = random_normal({side, width, channels}, random);
    for (int64_t y = 0; y < side; ++y)
      for (int64_t x = 0; x < width; ++x)
        if (plain(x))
          for (int64_t c = 0; c < channels; ++c)
            wide.data<float>()[(y * width + x) * channels + c] = float(c % 3) - 1;
    const auto view = [&](int64_t from) {
      Tensor f = Tensor::empty({1, side, side, channels}, DType::f32);
      for (int64_t y = 0; y < side; ++y)
        std::copy_n(wide.data<float>() + (y * width + from) * channels, side * channels,
                    f.data<float>() + y * side * channels);
      return l2_normalize(Var(f)).value();
    };
    f0 = view(0);
    f1 = view(2);
    std::vector<double> p0, p1;
    for (int64_t y = 0; y < side; ++y)
      for (int64_t x = 2; x < side; ++x) {
        p0.insert(p0.end(), {double(x), double(y)});
        p1.insert(p1.end(), {double(x - moved), double(y)});
      }
    const auto n = int64_t(p0.size()) / 2;
    matches = {Tensor::from({n, 2}, p0), Tensor::from({n, 2}, p1)};
    const LossOptions o{.num_pos = n, .num_hn_samples = 1};
    const LossDraws draws = draw_for_loss(n, f0.shape(), f1.shape(), o, random);
    inputs = prepare_loss(matches, draws, f0.shape(), f1.shape(), 0, o, Loss::score);
  }
  LossTerms loss(ScoreHead& head, double radius = 0.5) const {
    return score_loss(head, f0, f1, std::span(&inputs, 1), {.radius = radius});
  }
};

/// A head that says 1/2 everywhere.
void silence(ScoreHead& head) {
  for (auto& t : head.state())
    if (t.name.starts_with("judge")) t.tensor.assign_(Tensor::zeros(t.tensor.shape()));
}

}  // namespace

TEST_CASE("a head that knows nothing pays log 2, shared by what comes back and what does not") {
  Random random(1);
  ScoreHead head(channels, random);
  silence(head);
  const Scene scene(2);
  const LossTerms terms = scene.loss(head);
  // Three of ten columns look the same; of their pixels the nearest is the first of all, which is
  // right for one row's first column at most.
  const double unique = 7.0 / 10;
  CHECK(std::abs(terms.positive.item() + terms.negative.item() - std::numbers::ln2) < 1e-5);
  CHECK(std::abs(terms.positive.item() / std::numbers::ln2 - unique) < 0.01);
  // Where the truth lies elsewhere, nothing is right, unless the radius is large.
  const Scene wrong(2, 0);
  CHECK(wrong.loss(head).positive.item() < 0.01);
  CHECK(wrong.loss(head, 2).positive.item() > 0.6 * std::numbers::ln2);
}

TEST_CASE("the loss is the mean over the pairs of a batch") {
  Random random(1);
  ScoreHead head(channels, random);
  const Scene a(2), b(3);
  const auto batch = [](const Tensor& x, const Tensor& y) {
    Tensor both = Tensor::empty({2, side, side, channels});
    std::copy_n(x.data<float>(), x.numel(), both.data<float>());
    std::copy_n(y.data<float>(), y.numel(), both.data<float>() + x.numel());
    return both;
  };
  const Tensor f0 = batch(a.f0, b.f0), f1 = batch(a.f1, b.f1);
  std::vector<LossInputs> inputs;
  for (int64_t e = 0; e < 2; ++e) {
    const TrueMatches& m = (e == 0 ? a : b).matches;
    const LossOptions o{.num_pos = m.count(), .num_hn_samples = 1};
    Random draws(9);
    inputs.push_back(prepare_loss(m, draw_for_loss(m.count(), f0.shape(), f1.shape(), o, draws),
                                  f0.shape(), f1.shape(), e, o, Loss::score));
  }
  const LossTerms both = score_loss(head, f0, f1, inputs, {.radius = 0.5});
  const LossTerms one = a.loss(head), other = b.loss(head);
  CHECK(std::abs(both.positive.item() - (one.positive.item() + other.positive.item()) / 2) < 1e-5);
  CHECK(std::abs(both.negative.item() - (one.negative.item() + other.negative.item()) / 2) < 1e-5);
}

TEST_CASE("the head learns what comes back") {
  Random random(1);
  ScoreHead head(channels, random);
  const auto optimizer = nn::adamw(head.parameters(), 0.02, {});
  for (uint64_t step = 0; step < 60; ++step) {
    const LossTerms terms = Scene(100 + step).loss(head);
    optimizer->zero_grad();
    add(terms.positive, terms.negative).backward();
    optimizer->step();
  }
  const Scene scene(7);
  const Tensor map = score_map(head, scene.f0.reshape({side, side, channels}));
  constexpr int64_t half = side / ScoreHead::stride;
  CHECK(map.shape() == Shape{half, half});
  double unique = 0, same = 0;
  for (int64_t y = 0; y < half; ++y) {
    unique += map.data<float>()[y * half + 1] / half;
    same += map.data<float>()[y * half + 3] / half;
  }
  CHECK(unique > 0.85);
  CHECK(same < 0.15);
  const auto some = scores_at(map, Tensor::from({2, 2}, std::vector<double>{2, 4, 3, 4}));
  const float* row = map.data<float>() + 2 * half + 1;
  CHECK(some[0] == row[0]);
  CHECK(std::abs(some[1] - (row[0] + row[1]) / 2) < 1e-6f);
}

TEST_CASE("no correspondence costs nothing") {
  Random random(1);
  ScoreHead head(channels, random);
  Scene scene(2);
  const TrueMatches none{Tensor::zeros({0, 2}, DType::f64), Tensor::zeros({0, 2}, DType::f64)};
  const LossOptions o;
  scene.inputs = prepare_loss(none, draw_for_loss(0, scene.f0.shape(), scene.f1.shape(), o, random),
                              scene.f0.shape(), scene.f1.shape(), 0, o, Loss::score);
  const LossTerms terms = scene.loss(head);
  CHECK(terms.positive.item() == 0);
  CHECK(terms.negative.item() == 0);
}

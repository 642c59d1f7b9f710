#include "nn/layers.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/compare.h"
#include "tests/errors.h"

using namespace cairn;

namespace {

double at(const Tensor& t, int64_t n, int64_t h, int64_t w, int64_t c) {
  return t.to_vector()[size_t(((n * t.dim(1) + h) * t.dim(2) + w) * t.dim(3) + c)];
}

Tensor state(const nn::Module& m, const std::string& name) {
  for (const auto& s : m.state())
    if (s.name == name) return s.tensor;
  FAIL("there is no ", name);
  return {};
}

double deviation(const Tensor& t) {
  double squares = 0;
  for (double v : t.to_vector()) squares += v * v;
  return std::sqrt(squares / double(t.numel()));
}

}  // namespace

TEST_CASE("Conv2d: each result is the sum over its window, plus the bias") {
  Random random(1);
  const Conv2dGeometry g{{2, 1}, {1, 2}, {1, 2}};
  nn::Conv2d layer(3, 4, 3, random, g, true);
  state(layer, "bias").data<float>()[2] = 0.5f;
  const Tensor x = random_normal({2, 7, 6, 3}, random), w = state(layer, "weight");
  CHECK(w.shape() == Shape{4, 3, 3, 3});
  const Tensor y = layer(x).value();
  CHECK(y.shape() == Shape{2, 4, 6, 4});
  Tensor expected = Tensor::zeros(y.shape());
  float* e = expected.data<float>();
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t oh = 0; oh < 4; ++oh)
      for (int64_t ow = 0; ow < 6; ++ow)
        for (int64_t o = 0; o < 4; ++o) {
          double sum = o == 2 ? 0.5 : 0;
          for (int64_t kh = 0; kh < 3; ++kh)
            for (int64_t kw = 0; kw < 3; ++kw)
              for (int64_t i = 0; i < 3; ++i) {
                const int64_t h = 2 * oh - 1 + kh, v = ow - 2 + 2 * kw;
                if (h >= 0 && h < 7 && v >= 0 && v < 6)
                  sum += at(x, n, h, v, i) * at(w, o, kh, kw, i);
              }
          *e++ = float(sum);
        }
  CHECK(difference(y, expected) <= 1e-5);
}

TEST_CASE("ConvTranspose2d: each input spreads its window; 3x3 with stride 2 gives 2n + 1") {
  Random random(2);
  nn::ConvTranspose2d layer(2, 3, 3, random, {{2, 2}, {0, 0}, {1, 1}});
  const Tensor x = random_normal({1, 3, 4, 2}, random), w = state(layer, "weight");
  CHECK(w.shape() == Shape{2, 3, 3, 3});
  const Tensor y = layer(x).value();
  CHECK(y.shape() == Shape{1, 7, 9, 3});
  Tensor expected = Tensor::zeros(y.shape());
  for (int64_t h = 0; h < 3; ++h)
    for (int64_t v = 0; v < 4; ++v)
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t kh = 0; kh < 3; ++kh)
          for (int64_t kw = 0; kw < 3; ++kw)
            for (int64_t o = 0; o < 3; ++o)
              expected.data<float>()[((2 * h + kh) * 9 + 2 * v + kw) * 3 + o] +=
                  float(at(x, 0, h, v, i) * at(w, i, kh, kw, o));
  CHECK(difference(y, expected) <= 1e-5);
}

TEST_CASE("Linear: x W' + b") {
  Random random(3);
  nn::Linear layer(3, 2, random);
  CHECK(state(layer, "weight").shape() == Shape{2, 3});
  CHECK(state(layer, "bias").to_vector() == std::vector<double>{0, 0});
  Tensor w = state(layer, "weight"), b = state(layer, "bias");
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  std::ranges::copy(values, w.data<float>());
  b.data<float>()[1] = 10;
  const Tensor x = Tensor::from({2, 3}, std::vector<float>{1, 0, -1, 2, 1, 0});
  CHECK(layer(x).value().to_vector() == std::vector<double>{-2, 8, 4, 23});
  const std::string text = error_of(ErrorId::shape, [&] { layer(Tensor::zeros({2, 4})); });
  CHECK(has(text, "matmul"));
}

TEST_CASE("BatchNorm2d in training: normalises by the batch, tracks with the unbiased variance") {
  Random random(4);
  nn::BatchNorm2d layer(2, 0.25, 1e-3);
  Tensor gamma = state(layer, "weight"), beta = state(layer, "bias");
  gamma.data<float>()[1] = 3;
  beta.data<float>()[1] = -1;
  const Tensor x = random_normal({2, 2, 3, 2}, random, 5, 2);
  const Tensor y = layer(x).value();
  CHECK(y.shape() == x.shape());
  for (int64_t c = 0; c < 2; ++c) {
    double mean = 0, squares = 0;
    const auto xs = x.to_vector();
    for (size_t i = size_t(c); i < 24; i += 2) mean += xs[i] / 12;
    for (size_t i = size_t(c); i < 24; i += 2) squares += (xs[i] - mean) * (xs[i] - mean);
    const double g = c ? 3 : 1, b = c ? -1 : 0;
    for (size_t i = size_t(c); i < 24; i += 2)
      CHECK(y.to_vector()[i] ==
            doctest::Approx(g * (xs[i] - mean) / std::sqrt(squares / 12 + 1e-3) + b).epsilon(1e-5));
    // From the start at 0 and 1; 12 values have an unbiased variance of squares / 11.
    CHECK(state(layer, "running_mean").to_vector()[size_t(c)] ==
          doctest::Approx(0.25 * mean).epsilon(1e-6));
    CHECK(state(layer, "running_var").to_vector()[size_t(c)] ==
          doctest::Approx(0.75 + 0.25 * squares / 11).epsilon(1e-6));
  }
  CHECK(state(layer, "num_batches_tracked").item() == 1);
  layer(x);
  CHECK(state(layer, "num_batches_tracked").item() == 2);
}

TEST_CASE("BatchNorm2d in evaluation: normalises by the running statistics and leaves them") {
  nn::BatchNorm2d layer(1);
  Tensor mean = state(layer, "running_mean"), variance = state(layer, "running_var");
  mean.data<float>()[0] = 2;
  variance.data<float>()[0] = 4;
  layer.eval();
  const Tensor x = Tensor::from({1, 1, 3, 1}, std::vector<float>{0, 2, 6});
  const Tensor expected = Tensor::from({1, 1, 3, 1}, std::vector<float>{-1, 0, 2});
  CHECK(difference(layer(x).value(), expected) <= 1e-5);
  CHECK(mean.item() == 2);
  CHECK(variance.item() == 4);
  CHECK(state(layer, "num_batches_tracked").item() == 0);
}

TEST_CASE("BatchNorm2d with residual and ReLU is the three in a row") {
  Random random(5);
  nn::BatchNorm2d fused(3), plain(3);
  const Tensor x = random_normal({2, 3, 4, 3}, random), r = random_normal({2, 3, 4, 3}, random);
  CHECK(difference(fused(x, r, true).value(), relu(add(plain(x), r)).value()) <= 1e-6);
  CHECK(difference(fused(x, {}, true).value(), relu(plain(x)).value()) <= 1e-6);
  for (size_t i = 0; i < fused.state().size(); ++i)
    CHECK(same_bits(fused.state()[i].tensor, plain.state()[i].tensor));
}

TEST_CASE("Sequential: modules in a row, named by number") {
  Random random(6);
  nn::Sequential row;
  auto& first = row.append<nn::Linear>(3, 4, random);
  row.append<nn::Relu>();
  auto& last = row.append<nn::Linear>(4, 2, random);
  const Tensor x = random_normal({5, 3}, random);
  CHECK(same_bits(row(x).value(), last(relu(first(x))).value()));
  CHECK(row.parameters().back().name == "2.bias");
  nn::Sequential empty;
  CHECK(same_bits(empty(x).value(), x));
}

TEST_CASE("Kaiming: deviations are sqrt(2 / fan) for the fan that PyTorch takes") {
  Random random(7);
  // 2 % of deviation is eight times what chance gives with 80 000 numbers.
  const auto near = [](const Tensor& w, double fan) {
    CHECK(deviation(w) == doctest::Approx(std::sqrt(2 / fan)).epsilon(0.02));
  };
  near(state(nn::Conv2d(100, 90, 3, random), "weight"), 90 * 9);           // fan-out
  near(state(nn::ConvTranspose2d(100, 90, 3, random), "weight"), 90 * 9);  // "fan-in": axis 1
  near(state(nn::Linear(400, 200, random), "weight"), 400);                // fan-in
  CHECK(deviation(state(nn::Conv2d(2, 3, 1, random, {}, true), "bias")) == 0);
}

TEST_CASE("equal seeds give equal layers, and one stream gives different ones") {
  Random a(8), b(8);
  const nn::Conv2d first(3, 4, 3, a), same(3, 4, 3, b), next(3, 4, 3, b);
  CHECK(same_bits(state(first, "weight"), state(same, "weight")));
  CHECK_FALSE(same_bits(state(same, "weight"), state(next, "weight")));
}

TEST_CASE("a wrong number of channels is named with what was expected") {
  Random random(9);
  nn::Conv2d conv(1, 32, 3, random);
  const std::string text = error_of(ErrorId::shape, [&] { conv(Tensor::zeros({1, 5, 5, 3})); });
  CHECK(has(text, "the input has 3 channels, but the weight expects 1"));
  nn::BatchNorm2d norm(4);
  error_of(ErrorId::shape, [&] { norm(Tensor::zeros({1, 5, 5, 3})); });
}

TEST_CASE(
    "BatchNorm2d: with own_moments evaluation is what training is, and leaves the buffers alone") {
  nn::BatchNorm2d norm(3);
  Random random(5);
  const Tensor x = random_uniform({2, 4, 5, 3}, random, 2, 4);
  const Tensor trained = norm(Var(x)).value();
  const Tensor mean = norm.state()[2].tensor.clone();
  norm.eval();
  CHECK(difference(norm(Var(x)).value(), trained) > 0.1);  // by the running moments
  norm.own_moments = true;
  CHECK(same_bits(norm(Var(x)).value(), trained));
  CHECK(same_bits(norm.state()[2].tensor, mean));
  CHECK(norm.state()[4].tensor.item() == 1);
}

TEST_CASE(
    "a norm folded into the convolution before it gives what the two give one after the other") {
  Random random(4);
  for (bool relu : {false, true})
    for (bool add : {false, true}) {
      nn::Conv2d conv(3, 5, 3, random, {{1, 1}, {1, 1}, {1, 1}});
      nn::BatchNorm2d norm(5);
      for (auto& p : norm.parameters()) p.var.value_() = random_uniform({5}, random, 0.5, 1.5);
      for (auto& s : norm.state())
        if (s.name.starts_with("running")) s.tensor.assign_(random_uniform({5}, random, 0.5, 1.5));
      conv.eval();
      norm.eval();
      const Var x(random_normal({2, 4, 6, 3}, random)), other(random_normal({2, 4, 6, 5}, random));
      const Var residual = add ? other : Var();
      int norms = 0;
      const auto before =
          set_op_observer([&](const OpEvent& e) { norms += std::string(e.op) == "batch_norm"; });
      const Var two = norm.after(conv, x, residual, relu);  // a tape is built: nothing is folded
      CHECK(norms == 1);
      NoGrad no_grad;
      const Var folded = norm.after(conv, x, residual, relu);
      CHECK(norms == 1);
      norm.own_moments = true;  // moments of the image cannot be known before
      norm.after(conv, x, residual, relu);
      CHECK(norms == 2);
      set_op_observer(before);
      CHECK(difference(folded.value(), two.value()) <= 1e-5);
    }
}

TEST_CASE("layers whose weights a file brings are not drawn") {
  Random random(1);
  {
    const nn::SkipInit skip;
    CHECK(deviation(nn::Conv2d(3, 4, 3, random).parameters()[0].var.value()) == 0);
  }
  CHECK(random.position() == 0);
  CHECK(deviation(nn::Conv2d(3, 4, 3, random).parameters()[0].var.value()) > 0);
}

#include "tensor/kernels/batch_norm/batch_norm.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;
namespace reference = kernels::reference;

namespace {

const std::vector<Shape> shapes = {{0, 5},  {3, 0},  {1, 1},   {1},           {7, 1},
                                   {9, 15}, {8, 16}, {13, 17}, {2, 3, 5, 33}, {3001, 4}};

struct Case {
  Tensor x, gamma, beta, mean, invstd, residual, dy;
};

Case make(const Shape& shape, DType type) {
  const Shape c{shape[-1]};
  Random random(5);
  const Tensor scale = random_uniform(c, random, 0.5, 2, type);
  return {
      normal(shape, type, 1), normal(c, type, 2),    normal(c, type, 3), normal(c, type, 4), scale,
      normal(shape, type, 6), normal(shape, type, 7)};
}

}  // namespace

TEST_CASE("batch_moments: mean and biased variance of each channel") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const Shape& shape : shapes) {
        CAPTURE(shape);
        const Tensor x = normal(shape, type, 8, 0.5);
        const auto fast = kernels::batch_moments(x), plain = reference::batch_moments(x);
        CHECK(difference(fast.mean, plain.mean) <= tolerance(type));
        CHECK(difference(fast.variance, plain.variance) <= tolerance(type));
      }
  });
}

TEST_CASE("batch_moments: accurate where the mean is ten thousand deviations") {
  each_simd_target([] {
    for (int64_t c : {1, 16, 19}) {
      const Tensor x = normal({5000, c}, DType::f32, 9, 1e4);
      const auto fast = kernels::batch_moments(x), plain = reference::batch_moments(x);
      CHECK(difference(fast.mean, plain.mean) <= 1e-7);
      CHECK(difference(fast.variance, plain.variance) <= 1e-5);
    }
  });
}

TEST_CASE("batch_moments: a constant channel has no variance, an empty batch neither") {
  const auto same = kernels::batch_moments(Tensor::full({1000, 3}, 0.1));
  CHECK(same.variance.to_vector() == std::vector<double>{0, 0, 0});
  const auto empty = kernels::batch_moments(Tensor::zeros({0, 2}));
  CHECK(empty.mean.to_vector() == std::vector<double>{0, 0});
  CHECK(empty.variance.to_vector() == std::vector<double>{0, 0});
}

TEST_CASE("batch_moments: NaN in one channel stays in it") {
  each_simd_target([] {
    Tensor x = normal({6000, 5}, DType::f32, 10);
    x.data<float>()[5 * 4321 + 2] = NAN;
    const auto found = kernels::batch_moments(x);
    for (int64_t j = 0; j < 5; ++j) {
      CHECK(std::isnan(found.mean.data<float>()[j]) == (j == 2));
      CHECK(std::isnan(found.variance.data<float>()[j]) == (j == 2));
    }
  });
}

TEST_CASE("inverse_deviation") {
  const Tensor variance = Tensor::from<double>({2}, std::vector<double>{3, 0});
  CHECK(kernels::inverse_deviation(variance, 1).to_vector() == std::vector<double>{0.5, 1});
}

TEST_CASE("batch_norm: with and without residual and ReLU, as the reference") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const Shape& shape : shapes)
        for (bool relu : {false, true})
          for (bool add : {false, true}) {
            CAPTURE(shape);
            const Case t = make(shape, type);
            const Tensor residual = add ? t.residual : Tensor();
            CHECK(difference(
                      kernels::batch_norm(t.x, t.gamma, t.beta, t.mean, t.invstd, residual, relu),
                      reference::batch_norm(t.x, t.gamma, t.beta, t.mean, t.invstd, residual,
                                            relu)) <= tolerance(type));
          }
  });
}

TEST_CASE("batch_norm_backward: every gradient in every mode, as the reference") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const Shape& shape : shapes)
        for (int mode = 0; mode < 8; ++mode) {
          const bool relu = mode & 1, training = mode & 2, want = mode & 4;
          CAPTURE(shape);
          CAPTURE(mode);
          const Case t = make(shape, type);
          const Tensor y =
              relu ? reference::batch_norm(t.x, t.gamma, t.beta, t.mean, t.invstd, {}, true)
                   : Tensor();
          const auto fast = kernels::batch_norm_backward(t.dy, t.x, y, t.gamma, t.mean, t.invstd,
                                                         relu, training, want);
          const auto plain = reference::batch_norm_backward(t.dy, t.x, y, t.gamma, t.mean, t.invstd,
                                                            relu, training, want);
          CHECK(difference(fast.dx, plain.dx) <= tolerance(type));
          CHECK(difference(fast.dgamma, plain.dgamma, true) <= tolerance(type));
          CHECK(difference(fast.dbeta, plain.dbeta, true) <= tolerance(type));
          CHECK(fast.dresidual.defined() == want);
          if (want) CHECK(difference(fast.dresidual, plain.dresidual) == 0);
        }
  });
}

TEST_CASE("batch_norm: equal bits at any thread count") {
  const Case t = make({3000, 37}, DType::f32);
  CHECK(same_at_any_thread_count([&] { return kernels::batch_moments(t.x).variance; }));
  CHECK(same_at_any_thread_count([&] {
    return kernels::batch_norm(t.x, t.gamma, t.beta, t.mean, t.invstd, t.residual, true);
  }));
  const auto backward = [&] {
    return kernels::batch_norm_backward(t.dy, t.x, t.residual, t.gamma, t.mean, t.invstd, true,
                                        true, true);
  };
  CHECK(same_at_any_thread_count([&] { return backward().dx; }));
  CHECK(same_at_any_thread_count([&] { return backward().dgamma; }));
  CHECK(same_at_any_thread_count([&] { return backward().dbeta; }));
}

TEST_CASE("batch_norm: errors name what does not fit") {
  const Case t = make({4, 3}, DType::f32);
  CHECK(error_of([&] {
          kernels::batch_norm(t.x, Tensor::zeros({2}), t.beta, t.mean, t.invstd, {}, false);
        }) == "batch_norm: gamma is 2, but the input 4x3 has 3 channels");
  CHECK(error_of([&] {
          kernels::batch_norm_backward(t.dy, t.x, {}, t.gamma, t.mean, t.invstd, true, true, false);
        }) == "batch_norm_backward: with a ReLU, the result y is needed");
  CHECK(error_of([] { kernels::batch_moments(Tensor::scalar(1)); }) ==
        "batch_moments: the input is a scalar; it needs a channel axis");
}

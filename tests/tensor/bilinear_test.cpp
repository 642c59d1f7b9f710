#include "tensor/kernels/bilinear/bilinear.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;
namespace reference = kernels::reference;

namespace {

/// Inside, on pixels, on the border and far outside.
Tensor positions(int64_t k, DType type) {
  Random random(1);
  Tensor p = random_uniform({k, 2}, random, -3, 12, DType::f64);
  for (int64_t i = 0; i < 2 * k; i += 3) p.data<double>()[i] = std::round(p.data<double>()[i]);
  return p.to(type);
}

}  // namespace

TEST_CASE("bilinear: sampling and its gradient as the reference") {
  for (DType type : {DType::f32, DType::f64})
    for (const Shape& shape :
         std::vector<Shape>{{1, 1, 3}, {1, 9, 2}, {9, 1, 1}, {7, 8, 16}, {5, 11, 17}, {4, 4, 0}})
      for (int64_t k : {0, 1, 50}) {
        CAPTURE(shape);
        CAPTURE(k);
        const Tensor x = normal(shape, type, 2), p = positions(k, type);
        const Tensor dy = normal({k, shape[2]}, type, 3);
        CHECK(difference(kernels::bilinear_sample(x, p), reference::bilinear_sample(x, p)) <=
              tolerance(type));
        CHECK(difference(kernels::bilinear_sample_backward(dy, p, shape),
                         reference::bilinear_sample_backward(dy, p, shape)) <= tolerance(type));
      }
}

TEST_CASE("bilinear: (0, 0) is the centre of the top-left pixel, x goes right, y down") {
  const Tensor x = Tensor::from<float>({2, 3, 1}, std::vector<float>{0, 1, 2, 10, 11, 12});
  const Tensor p =
      Tensor::from<float>({5, 2}, std::vector<float>{0, 0, 2, 1, 0.5f, 0, 1.25f, 0.5f, -7, 99});
  CHECK(kernels::bilinear_sample(x, p).to_vector() == std::vector<double>{0, 12, 0.5, 6.25, 10});
}

TEST_CASE("bilinear: a position that is NaN gives NaN; infinite ones lie on the border") {
  const Tensor x = Tensor::full({2, 2, 1}, 5);
  const Tensor p =
      Tensor::from<float>({3, 2}, std::vector<float>{NAN, 0, 0, NAN, INFINITY, -INFINITY});
  const auto y = kernels::bilinear_sample(x, p).to_vector();
  CHECK(std::isnan(y[0]));
  CHECK(std::isnan(y[1]));
  CHECK(y[2] == 5);
}

TEST_CASE("bilinear: the gradient is the adjoint of the sampling") {
  const Tensor x = normal({6, 5, 4}, DType::f64, 4), p = positions(40, DType::f64);
  const Tensor dy = normal({40, 4}, DType::f64, 5);
  const auto y = kernels::bilinear_sample(x, p).to_vector(), g = dy.to_vector();
  const auto dx = kernels::bilinear_sample_backward(dy, p, {6, 5, 4}).to_vector();
  double left = 0, right = 0;
  for (size_t i = 0; i < y.size(); ++i) left += y[i] * g[i];
  for (size_t i = 0; i < dx.size(); ++i) right += dx[i] * x.to_vector()[i];
  CHECK(left == doctest::Approx(right).epsilon(1e-12));
}

TEST_CASE("bilinear: equal bits at any thread count") {
  const Tensor x = normal({90, 80, 16}, DType::f32, 6), p = positions(3000, DType::f32);
  const Tensor dy = normal({3000, 16}, DType::f32, 7);
  CHECK(same_at_any_thread_count([&] { return kernels::bilinear_sample(x, p); }));
  CHECK(same_at_any_thread_count([&] {
    return kernels::bilinear_sample_backward(dy, p, {90, 80, 16});
  }));
}

TEST_CASE("bilinear: errors name what came") {
  CHECK(error_of([] {
          kernels::bilinear_sample(Tensor::zeros({0, 4, 2}), Tensor::zeros({1, 2}));
        }) == "bilinear_sample: there is nothing to sample in the empty image 0x4x2");
  CHECK(error_of([] {
          kernels::bilinear_sample(Tensor::zeros({4, 4, 2}), Tensor::zeros({3, 3}));
        }) == "bilinear_sample: the positions are 3x3, not K x 2");
}

#include "tensor/kernels/reduce/reduce.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;
using Axes = std::vector<int>;

TEST_CASE("sum: over any axes, as the reference") {
  const std::vector<std::pair<Shape, std::vector<Axes>>> cases = {
      {{}, {{}}},
      {{0}, {{}, {0}}},
      {{1}, {{}, {0}}},
      {{17}, {{}, {0}, {-1}}},
      {{70001}, {{}}},
      {{3, 0, 2}, {{}, {0}, {1}, {2}, {0, 2}}},
      {{5, 7}, {{}, {0}, {1}, {-1, 0}}},
      {{2000, 33}, {{0}, {1}}},
      {{3, 1700}, {{0}, {1}}},
      {{2, 3, 5, 7}, {{}, {0}, {1}, {2}, {3}, {0, 1, 2}, {1, 3}, {0, 2}, {3, 0}}},
      {{2, 1, 3, 2, 1, 5}, {{}, {1}, {0, 2, 4}, {1, 3, 5}, {-1}}},
  };
  each_simd_target([&] {
    for (DType type : {DType::f32, DType::f64})
      for (const auto& one : cases)
        for (const Axes& axes : one.second)
          for (bool keep : {false, true}) {
            const Shape& shape = one.first;
            CAPTURE(shape);
            CAPTURE(axes.size());
            const Tensor x = normal(shape, type, 1);
            CHECK(difference(kernels::sum(x, axes, keep), kernels::reference::sum(x, axes, keep)) <=
                  tolerance(type));
          }
  });
}

TEST_CASE("sum: the shape that is left") {
  const Tensor x = Tensor::full({2, 3, 4}, 1);
  CHECK(kernels::sum(x, {1}).shape() == Shape{2, 4});
  CHECK(kernels::sum(x, {1}, true).shape() == Shape{2, 1, 4});
  CHECK(kernels::sum(x).shape() == Shape{});
  CHECK(kernels::sum(x).item() == 24);
  CHECK(kernels::sum(Tensor::zeros({0, 3}), {0}).to_vector() == std::vector<double>{0, 0, 0});
}

TEST_CASE("sum: many small numbers do not drown in a large total") {
  CHECK(kernels::sum(Tensor::full({1 << 25}, 0.1f)).item() ==
        doctest::Approx(double(0.1f) * (1 << 25)).epsilon(1e-7));
}

TEST_CASE("sum_to undoes broadcast_to up to the number of copies") {
  for (const auto& pair : std::vector<std::pair<Shape, Shape>>{{{}, {2, 3}},
                                                               {{1}, {5}},
                                                               {{3}, {2, 3}},
                                                               {{2, 1, 4}, {2, 3, 4}},
                                                               {{1, 1}, {0, 3}},
                                                               {{5, 1}, {2, 5, 3}},
                                                               {{4, 3}, {4, 3}}}) {
    const Shape &small = pair.first, &large = pair.second;
    CAPTURE(small);
    CAPTURE(large);
    const Tensor x = normal(small, DType::f64, 2);
    const Tensor wide = kernels::broadcast_to(x, large);
    CHECK(wide.shape() == large);
    const Tensor back = kernels::sum_to(wide, small);
    const double copies = double(large.numel()) / double(small.numel());
    std::vector<double> expected = x.to_vector();
    for (double& v : expected) v *= copies;
    CHECK(difference(back, Tensor::from(small, expected)) <= 1e-12);
  }
  const Tensor column = Tensor::from<float>({2, 1}, std::vector<float>{1, 2});
  CHECK(kernels::broadcast_to(column, {2, 2, 3}).to_vector() ==
        std::vector<double>{1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2});
}

TEST_CASE("norm: the root of the sum of squares, without overflow in float") {
  each_simd_target([] {
    CHECK(kernels::norm(Tensor::full({4}, 1e30)) == doctest::Approx(2e30).epsilon(1e-6));
    CHECK(kernels::norm(Tensor::full({100003}, 2, DType::f64)) ==
          doctest::Approx(2 * std::sqrt(100003)).epsilon(1e-12));
    CHECK(kernels::norm(Tensor::zeros({0})) == 0);
    CHECK(std::isnan(kernels::norm(Tensor::full({3}, NAN))));
  });
}

TEST_CASE("sum: equal bits at any thread count") {
  const Tensor x = normal({37, 41, 97}, DType::f32, 3);
  for (const Axes& axes : {Axes{}, Axes{0}, Axes{1}, Axes{2}, Axes{0, 1}, Axes{0, 2}})
    CHECK(same_at_any_thread_count([&] { return kernels::sum(x, axes); }));
  CHECK(same_at_any_thread_count([&] { return Tensor::scalar(kernels::norm(x), DType::f64); }));
}

TEST_CASE("sum: errors name the axis or the shape") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK(error_of([&] { kernels::sum(x, {2}); }) == "sum: no axis 2 in 2x3");
  CHECK(error_of([&] { kernels::sum(x, {1, -1}); }) == "sum: axis -1 of 2x3 named twice");
  CHECK(error_of([&] { kernels::sum_to(x, {2}); }) == "sum_to: 2x3 is no stretched 2");
  CHECK(error_of([&] { kernels::broadcast_to(x, {3}); }) ==
        "broadcast_to: 2x3 does not stretch to 3");
}

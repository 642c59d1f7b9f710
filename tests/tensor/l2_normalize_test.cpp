#include "tensor/kernels/l2_normalize/l2_normalize.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;

TEST_CASE("l2_normalize: forward and backward as the reference") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const Shape& shape : std::vector<Shape>{{0, 4},
                                                   {4, 0},
                                                   {1},
                                                   {2, 1},
                                                   {5, 3},
                                                   {7, 15},
                                                   {2, 3, 16},
                                                   {3, 17},
                                                   {5, 64},
                                                   {2, 131}}) {
        CAPTURE(shape);
        const Tensor x = normal(shape, type, 1), dy = normal(shape, type, 2);
        CHECK(difference(kernels::l2_normalize(x, 0.1), kernels::reference::l2_normalize(x, 0.1)) <=
              tolerance(type));
        CHECK(difference(kernels::l2_normalize_backward(x, dy, 0.1),
                         kernels::reference::l2_normalize_backward(x, dy, 0.1)) <= tolerance(type));
      }
  });
}

TEST_CASE("l2_normalize: a zero row stays zero, also without epsilon; its gradient is dy / eps") {
  each_simd_target([] {
    const Tensor zero = Tensor::zeros({1, 19}), dy = normal({1, 19}, DType::f32, 3);
    for (double eps : {0.0, 1e-10}) CHECK(same_bits(kernels::l2_normalize(zero, eps), zero));
    const auto dx = kernels::l2_normalize_backward(zero, dy, 0.5).to_vector();
    for (size_t j = 0; j < dx.size(); ++j) CHECK(dx[j] == 2 * dy.to_vector()[j]);
  });
}

TEST_CASE("l2_normalize: NaN spoils its own row and no other") {
  Tensor x = normal({3, 20}, DType::f32, 4);
  x.data<float>()[25] = NAN;
  const auto y = kernels::l2_normalize(x, 0).to_vector();
  for (size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i / 20 == 1));
}

TEST_CASE("l2_normalize: equal bits at any thread count") {
  const Tensor x = normal({3001, 33}, DType::f32, 5);
  CHECK(same_at_any_thread_count([&] { return kernels::l2_normalize(x, 1e-10); }));
  CHECK(same_at_any_thread_count([&] { return kernels::l2_normalize_backward(x, x, 0.1); }));
}

TEST_CASE("l2_normalize: a scalar has no rows") {
  CHECK(error_of([] { kernels::l2_normalize(Tensor::scalar(1), 0); }) ==
        "l2_normalize: the input is a scalar; it needs a row");
}

#include "tensor/kernels/softmax/softmax.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;
namespace reference = kernels::reference;

TEST_CASE("softmax: forward and backward as the reference") {
  for (DType type : {DType::f32, DType::f64})
    for (const Shape& shape :
         std::vector<Shape>{{0, 3}, {3, 0}, {1}, {2, 1}, {3, 5, 7}, {4, 33}, {2, 1000}}) {
      CAPTURE(shape);
      const Tensor x = normal(shape, type, 1), dy = normal(shape, type, 2);
      const Tensor y = reference::softmax(x), l = reference::log_softmax(x);
      CHECK(difference(kernels::softmax(x), y) <= tolerance(type));
      CHECK(difference(kernels::log_softmax(x), l) <= tolerance(type));
      CHECK(difference(kernels::softmax_backward(y, dy), reference::softmax_backward(y, dy)) <=
            tolerance(type));
      CHECK(difference(kernels::log_softmax_backward(l, dy), reference::log_softmax_backward(l, dy),
                       true) <= tolerance(type));
    }
}

TEST_CASE("softmax: large inputs neither overflow nor lose their differences") {
  const Tensor x = Tensor::from<float>({3}, std::vector<float>{10000, 10000, -10000});
  CHECK(kernels::softmax(x).to_vector() == std::vector<double>{0.5, 0.5, 0});
  CHECK(kernels::log_softmax(x).to_vector()[2] == doctest::Approx(-20000.69).epsilon(1e-6));
}

TEST_CASE("softmax: minus infinity gets no share; NaN spoils its row and no other") {
  const Tensor x = Tensor::from<float>({3, 2}, std::vector<float>{-INFINITY, 0, NAN, 1, 1, NAN});
  const auto y = kernels::softmax(x).to_vector(), l = kernels::log_softmax(x).to_vector();
  CHECK(y[0] == 0);
  CHECK(y[1] == 1);
  for (size_t i = 2; i < 6; ++i) {
    CHECK(std::isnan(y[i]));
    CHECK(std::isnan(l[i]));
  }
}

TEST_CASE("softmax: equal bits at any thread count") {
  const Tensor x = normal({700, 31}, DType::f32, 3);
  CHECK(same_at_any_thread_count([&] { return kernels::softmax(x); }));
  CHECK(same_at_any_thread_count([&] { return kernels::log_softmax_backward(x, x); }));
}

TEST_CASE("softmax: a scalar has no rows") {
  CHECK(error_of([] { kernels::log_softmax(Tensor::scalar(1)); }) ==
        "log_softmax: the input is a scalar; it needs a row");
}

#include "tensor/kernels/elementwise/elementwise.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;
namespace reference = kernels::reference;

namespace {

const std::vector<Shape> shapes = {{},   {0},  {1},       {3},    {4},          {15},
                                   {16}, {17}, {2, 0, 3}, {7, 5}, {3, 1, 4, 5}, {70001}};
const std::vector<std::pair<Shape, Shape>> stretched = {
    {{}, {}},
    {{}, {5}},
    {{33}, {}},
    {{1}, {0}},
    {{4, 17}, {17}},
    {{17}, {4, 17}},
    {{4, 17}, {4, 1}},
    {{4, 1}, {1, 17}},
    {{2, 3, 5, 7}, {2, 1, 5, 1}},
    {{2, 1, 5, 1}, {1, 3, 1, 7}},
    {{2, 1, 3, 1, 2, 3}, {2, 3, 2, 1, 3}},
    {{2, 0, 3}, {1, 3}},
    {{300, 16}, {16}},
    {{9, 4001}, {9, 1}},
    {{40000}, {1}},
};

}  // namespace

TEST_CASE("elementwise: a op b broadcasts as the reference does, at every instruction set") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const auto& pair : stretched) {
        const Shape &left = pair.first, &right = pair.second;
        CAPTURE(cat(left, " and ", right));
        const Tensor a = normal(left, type, 1), b = normal(right, type, 2);
        CHECK(same_bits(kernels::add(a, b), reference::add(a, b)));
        CHECK(same_bits(kernels::sub(a, b), reference::sub(a, b)));
        CHECK(same_bits(kernels::mul(a, b), reference::mul(a, b)));
        CHECK(same_bits(kernels::div(a, b), reference::div(a, b)));
      }
  });
}

TEST_CASE("elementwise: functions of one tensor are those of the reference") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const Shape& shape : shapes) {
        CAPTURE(shape);
        const Tensor x = normal(shape, type, 3), dy = normal(shape, type, 4);
        CHECK(same_bits(kernels::relu(x), reference::relu(x)));
        CHECK(same_bits(kernels::relu_backward(x, dy), reference::relu_backward(x, dy)));
        CHECK(same_bits(kernels::square(x), reference::square(x)));
        CHECK(same_bits(kernels::sqrt(kernels::square(x)), reference::sqrt(reference::square(x))));
        CHECK(same_bits(kernels::clamp(x, -0.5, 1), reference::clamp(x, -0.5, 1)));
        CHECK(same_bits(kernels::clamp_backward(x, dy, -0.5, 1),
                        reference::clamp_backward(x, dy, -0.5, 1)));
        CHECK(difference(kernels::affine(x, 3, -2), reference::affine(x, 3, -2)) <=
              tolerance(type));
      }
  });
}

TEST_CASE("elementwise: relu and clamp let NaN through, and infinities are numbers") {
  each_simd_target([] {
    for (int64_t n : {1, 5, 16, 37}) {
      const Tensor bad = Tensor::full({n}, NAN), huge = Tensor::full({n}, -INFINITY);
      for (double v : kernels::relu(bad).to_vector()) CHECK(std::isnan(v));
      for (double v : kernels::clamp(bad, 0, 1).to_vector()) CHECK(std::isnan(v));
      for (double v : kernels::relu(huge).to_vector()) CHECK(v == 0);
      for (double v : kernels::clamp(huge, -2, 1).to_vector()) CHECK(v == -2);
    }
  });
}

TEST_CASE("elementwise: the gradient of relu and clamp stops at the kink itself") {
  const Tensor x = Tensor::from<float>({4}, std::vector<float>{0, 1, 0.5f, -1});
  const Tensor dy = Tensor::full({4}, 3);
  CHECK(kernels::relu_backward(x, dy).to_vector() == std::vector<double>{0, 3, 3, 0});
  CHECK(kernels::clamp_backward(x, dy, 0, 1).to_vector() == std::vector<double>{0, 0, 3, 0});
}

TEST_CASE("elementwise: axpy_ adds a multiple in place") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (const Shape& shape : shapes) {
        const Tensor x = normal(shape, type, 5);
        Tensor y = normal(shape, type, 6);
        const Tensor expected = reference::add(y, reference::affine(x, -0.75, 0));
        kernels::axpy_(y, -0.75, x);
        CHECK(difference(y, expected) <= tolerance(type));
      }
  });
}

TEST_CASE("elementwise: first_not_finite finds the first of several, wherever it stands") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (int64_t at : {0, 1, 15, 16, 32767, 32768, 99999}) {
        Tensor x = Tensor::full({100000}, 1e30, type);
        CHECK(kernels::first_not_finite(x) == -1);
        const double bad = at % 2 ? INFINITY : NAN;
        if (type == DType::f32)
          x.data<float>()[at] = float(bad), x.data<float>()[99999] = NAN;
        else
          x.data<double>()[at] = bad, x.data<double>()[99999] = NAN;
        CHECK(kernels::first_not_finite(x) == at);
      }
  });
  CHECK(kernels::first_not_finite(Tensor::zeros({0})) == -1);
}

TEST_CASE("elementwise: equal bits at any thread count") {
  const Tensor a = normal({999, 97}, DType::f32, 7), b = normal({97}, DType::f32, 8);
  CHECK(same_at_any_thread_count([&] { return kernels::add(a, b); }));
  CHECK(same_at_any_thread_count([&] { return kernels::affine(a, 0.3, 0.1); }));
  CHECK(same_at_any_thread_count([&] {
    Tensor y = a.clone();
    kernels::axpy_(y, 0.1, a);
    return y;
  }));
}

TEST_CASE("elementwise: errors name the operation and what came") {
  CHECK(error_of([] {
          kernels::add(Tensor::zeros({2, 3}), Tensor::zeros({4}));
        }) == "add: the shapes 2x3 and 4 do not broadcast together");
  CHECK(error_of([] { kernels::mul(Tensor::zeros({2}), Tensor::zeros({2}, DType::f64)); }) ==
        "mul: the operands are f32 and f64");
  CHECK(error_of([] { kernels::relu(Tensor::zeros({2}, DType::i32)); }) ==
        "relu: computes in f32 or f64, not in i32");
  CHECK(error_of([] { kernels::clamp(Tensor::zeros({2}), 1, 0); }) ==
        "clamp: the range is from 1 to 0");
  CHECK(error_of([] {
          Tensor y = Tensor::zeros({2, 1});
          kernels::axpy_(y, 1, Tensor::zeros({2}));
        }) == "axpy_: the operands are 2x1 and 2");
}

#include "tensor/kernels/gemm/gemm.h"

#include <doctest/doctest.h>

#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/simd.h"
#include "tests/compare.h"

using namespace cairn;

namespace {

Tensor normal(const Shape& shape, DType type, uint64_t seed) {
  Random random(seed);
  return random_normal(shape, random, 0, 1, type);
}

/// The stored operands of an m x k times k x n product.
std::pair<Tensor, Tensor> operands(int64_t m, int64_t n, int64_t k, bool ta, bool tb, DType type) {
  return {normal(ta ? Shape{k, m} : Shape{m, k}, type, 1),
          normal(tb ? Shape{n, k} : Shape{k, n}, type, 2)};
}

double tolerance(DType type) { return type == DType::f32 ? 3e-6 : 1e-14; }

struct EveryTarget {
  std::string before = simd_target();
  ~EveryTarget() { set_simd_target(before); }
};

std::string message(auto&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("matmul agrees with its reference on every target, transposed or not") {
  const EveryTarget restore;
  const int64_t extents[][3] = {{1, 1, 1},    {1, 17, 5},  {2, 3, 0},   {14, 32, 16}, {15, 33, 17},
                                {13, 31, 15}, {29, 16, 7}, {7, 1, 101}, {61, 47, 53}, {3, 130, 1}};
  for (const auto& target : simd_targets()) {
    set_simd_target(target);
    for (DType type : {DType::f32, DType::f64})
      for (const auto& extent : extents)
        for (int t = 0; t < 4; ++t) {
          CAPTURE(target);
          CAPTURE(type);
          CAPTURE(Shape(extent));
          CAPTURE(t);
          const bool ta = t & 1, tb = t & 2;
          const auto [a, b] = operands(extent[0], extent[1], extent[2], ta, tb, type);
          const Tensor expected = kernels::reference::matmul(a, b, ta, tb);
          CHECK(difference(kernels::matmul(a, b, ta, tb), expected, true) <= tolerance(type));
        }
  }
}

TEST_CASE("matmul of matrices that need several blocks of k and m") {
  for (int t = 0; t < 4; ++t) {
    CAPTURE(t);
    const auto [a, b] = operands(520, 20, 2051, t & 1, t & 2, DType::f32);
    CHECK(difference(kernels::matmul(a, b, t & 1, t & 2),
                     kernels::reference::matmul(a, b, t & 1, t & 2), true) <= 1e-5);
  }
}

TEST_CASE("matmul has the same bits at any thread count") {
  const int before = num_threads();
  for (int t = 0; t < 4; ++t) {
    CAPTURE(t);
    const auto [a, b] = operands(300, 70, 400, t & 1, t & 2, DType::f32);
    set_num_threads(1);
    const Tensor alone = kernels::matmul(a, b, t & 1, t & 2);
    for (int threads : {2, 7}) {
      set_num_threads(threads);
      CHECK(same_bits(kernels::matmul(a, b, t & 1, t & 2), alone));
    }
  }
  set_num_threads(before);
}

TEST_CASE("a sum of nothing is zero, and an empty product is empty") {
  for (int t = 0; t < 4; ++t) {
    const auto [a, b] = operands(3, 4, 0, t & 1, t & 2, DType::f32);
    CHECK(same_bits(kernels::matmul(a, b, t & 1, t & 2), Tensor::zeros({3, 4})));
    const auto [c, d] = operands(0, 4, 5, t & 1, t & 2, DType::f64);
    CHECK(kernels::matmul(c, d, t & 1, t & 2).shape() == Shape{0, 4});
    const auto [e, f] = operands(3, 0, 5, t & 1, t & 2, DType::f64);
    CHECK(kernels::matmul(e, f, t & 1, t & 2).shape() == Shape{3, 0});
  }
}

TEST_CASE("a NaN reaches its row and column of the product, and no other element") {
  auto [a, b] = operands(5, 40, 9, false, false, DType::f32);
  a.data<float>()[2 * 9 + 4] = NAN;
  const auto c = kernels::matmul(a, b).to_vector();
  for (size_t i = 0; i < c.size(); ++i) CHECK(std::isnan(c[i]) == (i / 40 == 2));
}

TEST_CASE("matmul says what does not fit") {
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({4, 5});
  CHECK(message([&] { kernels::matmul(a, b); }) ==
        "matmul: the left matrix has 3 columns, but the right one has 4 rows (2x3 times 4x5)");
  CHECK(message([&] { kernels::matmul(a, b, true, true); }) ==
        "matmul: the left matrix has 2 columns, but the right one has 5 rows (2x3 transposed times "
        "4x5 transposed)");
  CHECK(message([&] { kernels::matmul(a, Tensor::zeros({3})); }) ==
        "matmul: two matrices are needed, not 2x3 and 3");
  CHECK(message([&] {
          kernels::matmul(a, Tensor::zeros({3, 2}, DType::f64));
        }) == "matmul: the operands are f32 and f64");
  const Tensor h = Tensor::zeros({2, 2}, DType::i32);
  CHECK(message([&] { kernels::matmul(h, h); }) == "matmul: computes in f32 or f64, not in i32");
}

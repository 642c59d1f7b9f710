// The comparison on which the other tests rely: what it must never let pass.
#include "tests/compare.h"

#include <doctest/doctest.h>

#include <vector>

using namespace cairn;

namespace {

Tensor of(std::vector<float> values) { return Tensor::from({int64_t(values.size())}, values); }

}  // namespace

TEST_CASE("difference: relative to the expected element, but absolute below 1") {
  CHECK(difference(of({1, 20, 0.5f}), of({1, 20, 0.5f})) == 0);
  CHECK(difference(of({1, 22}), of({1, 20})) == doctest::Approx(0.1));
  CHECK(difference(of({0.5f}), of({0.25f})) == 0.25);
  CHECK(difference(of({}), of({})) == 0);
}

TEST_CASE("difference: relative to the largest finite element") {
  CHECK(difference(of({1, 21}), of({2, 20}), true) == doctest::Approx(0.05));
  CHECK(difference(of({0, INFINITY}), of({4, INFINITY}), true) == 1);
  CHECK(difference(of({1e-20f}), of({0}), true) > 1e9);
}

TEST_CASE("difference: NaN is never right, wherever it stands") {
  for (bool relative : {false, true}) {
    CHECK(difference(of({NAN, 1}), of({1, 1}), relative) == INFINITY);
    CHECK(difference(of({1, 1}), of({1, NAN}), relative) == INFINITY);
    CHECK(difference(of({NAN, 1}), of({NAN, 1}), relative) == INFINITY);
    CHECK(difference(of({NAN, 5}), of({1, 1}), relative) == INFINITY);
  }
}

TEST_CASE("difference: infinities agree only with themselves") {
  CHECK(difference(of({INFINITY, -INFINITY}), of({INFINITY, -INFINITY})) == 0);
  CHECK(difference(of({INFINITY}), of({-INFINITY})) == INFINITY);
  CHECK(difference(of({INFINITY}), of({1})) == INFINITY);
  CHECK(difference(of({1}), of({INFINITY})) == INFINITY);
}

TEST_CASE("difference and same_bits: another shape is another tensor") {
  CHECK(difference(Tensor::zeros({2, 3}), Tensor::zeros({3, 2})) == INFINITY);
  CHECK_FALSE(same_bits(Tensor::zeros({2, 3}), Tensor::zeros({3, 2})));
  CHECK_FALSE(same_bits(Tensor::zeros({2}), Tensor::zeros({2}, DType::i32)));
}

TEST_CASE("same_bits: zeros of both signs differ, one NaN does not differ from itself") {
  CHECK(same_bits(of({0, NAN}), of({0, NAN})));
  CHECK_FALSE(same_bits(of({0}), of({-0.0f})));
}

#include "tensor/tensor.h"

#include <doctest/doctest.h>

#include <vector>

#include "tensor/cuda/runtime.h"
#include "tests/tensor/grid.h"

using namespace cairn;

TEST_CASE("Shape: prints, counts and compares") {
  CHECK(cat(Shape{2, 3, 5}) == "2x3x5");
  CHECK(cat(Shape{}) == "scalar");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{4, 0, 2}.numel() == 0);
  CHECK(Shape{2, 3}[-1] == 3);
  CHECK(!(Shape{2} == Shape{2, 1}));
  CHECK(error_of([] { (void)Shape{2}[1]; }) == "shape: no axis 1 among 1");
  CHECK(error_of([] { Shape{2, -1}; }) == "shape: negative extent -1");
  CHECK(error_of([] { Shape{1, 1, 1, 1, 1, 1, 1}; }) == "shape: at most 6 axes, not 7");
  CHECK(error_of([] {
          Shape({int64_t(1) << 40, int64_t(1) << 40}).numel();
        }) == "shape: too many elements");
}

TEST_CASE("Tensor: made of values, of one value, of zeros") {
  const Tensor t = Tensor::from<float>({2, 2}, std::vector<float>{1, 2, 3, 4});
  CHECK(t.to_vector() == std::vector<double>{1, 2, 3, 4});
  CHECK(t.dtype() == DType::f32);
  CHECK(t.nbytes() == 16);
  CHECK(Tensor::full({3}, 7, DType::u8).to_vector() == std::vector<double>{7, 7, 7});
  CHECK(Tensor::zeros({0, 5}).to_vector().empty());
  CHECK(Tensor::scalar(2.5).item() == 2.5);
  CHECK(error_of([] { Tensor::from<float>({3}, std::vector<float>{1}); }) ==
        "tensor: 1 values for the shape 3");
  CHECK(error_of([&] { t.item(); }) == "item: the tensor has 4 elements, not one");
  CHECK(error_of([&] { t.data<double>(); }) == "tensor: the elements are f32, not f64");
  CHECK(error_of([] { Tensor().data<float>(); }) == "tensor: an undefined tensor has no data");
}

TEST_CASE("Tensor: a copy and a reshape share the bytes, a clone does not") {
  const Tensor t = Tensor::zeros({2, 6});
  CHECK(t.unique());
  const Tensor shaped = t.reshape({3, -1}), own = t.clone();
  CHECK(shaped.shape() == Shape{3, 4});
  CHECK(shaped.same_storage(t));
  CHECK(!t.unique());
  CHECK(!own.same_storage(t));
  CHECK(same_bits(own, t));
  CHECK(!Tensor().clone().defined());
  CHECK(error_of([&] { t.reshape({5}); }) == "reshape: 2x6 (12 elements) cannot become 5 (5)");
  CHECK(error_of([&] { t.reshape({5, -1}); }) == "reshape: no extent makes 2x6 fit");
}

TEST_CASE("Tensor: conversion to u8 rounds and clamps, to half rounds to nearest even") {
  const Tensor t = Tensor::from<float>({6}, std::vector<float>{-3, 0.4f, 0.5f, 254.6f, 300, NAN});
  CHECK(t.to(DType::u8).to_vector() == std::vector<double>{0, 0, 1, 255, 255, 0});
  const Tensor whole = Tensor::from<int64_t>({4}, std::vector<int64_t>{-1, 7, 256, 1ll << 40});
  CHECK(whole.to(DType::u8).to_vector() == std::vector<double>{0, 7, 255, 255});
  // 2049 lies between the f16 neighbours 2048 and 2050, 2051 between 2050 and 2052.
  const Tensor h = Tensor::from<float>({4}, std::vector<float>{2049, 2051, 65519, 65520});
  CHECK(h.to(DType::f16).to_vector() == std::vector<double>{2048, 2052, 65504, INFINITY});
}

TEST_CASE("f16 and bf16: every value survives the way through float") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    f16_t h;
    h.bits = uint16_t(bits);
    bf16_t b;
    b.bits = uint16_t(bits);
    const float fh = float(h), fb = float(b);
    const bool same_h = fh != fh ? float(f16_t(fh)) != float(f16_t(fh)) : f16_t(fh).bits == bits;
    const bool same_b = fb != fb ? float(bf16_t(fb)) != float(bf16_t(fb)) : bf16_t(fb).bits == bits;
    if (!same_h || !same_b) FAIL_CHECK("bits " << bits);
  }
  CHECK(float(f16_t(0x1p-24f)) == 0x1p-24f);    // the smallest subnormal
  CHECK(float(f16_t(0x1.8p-24f)) == 0x1p-23f);  // a tie goes to the even one
  CHECK(float(bf16_t(1 + 0x1p-8f)) == 1);       // so here
  CHECK(float(bf16_t(1 + 0x1.8p-7f)) == 1 + 0x1p-6f);
}

TEST_CASE("Tensor: a device that cannot be used is refused, and it is said why") {
  if (cuda::unavailable().empty()) return;  // there is one
  CHECK(error_of(ErrorId::device, [] { Tensor::zeros({1}).to(Device::cuda); }) ==
        "cuda: " + cuda::unavailable());
}

TEST_CASE("require_same: names the operation and both operands") {
  const Tensor a = Tensor::zeros({2}), b = Tensor::zeros({3}, DType::f64);
  CHECK(error_of([&] { require_same_shape("op", a, b); }) == "op: the operands are 2 and 3");
  CHECK(error_of([&] { require_same_dtype("op", a, b); }) == "op: the operands are f32 and f64");
}

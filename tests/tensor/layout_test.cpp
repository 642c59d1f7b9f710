#include "tensor/kernels/layout/layout.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;

namespace {

/// 0, 1, 2, ... in any element type (few enough for u8).
Tensor counting(const Shape& shape, DType type = DType::f32) {
  std::vector<double> values(size_t(shape.numel()));
  std::iota(values.begin(), values.end(), 0);
  return Tensor::from(shape, values).to(type);
}

constexpr DType all_types[] = {DType::f32, DType::f64, DType::f16, DType::bf16,
                               DType::i32, DType::i64, DType::u8};

}  // namespace

TEST_CASE("concat joins the channels of each pixel; slice_channels takes them back") {
  for (DType type : all_types) {
    CAPTURE(type);
    const Tensor a = counting({2, 3, 1, 5}, type), b = counting({2, 3, 1, 2}, type);
    const Tensor none = counting({2, 3, 1, 0}, type);
    const std::vector<Tensor> parts = {a, none, b};
    const Tensor y = kernels::concat(parts);
    CHECK(y.shape() == Shape{2, 3, 1, 7});
    CHECK(same_bits(kernels::slice_channels(y, 0, 5), a));
    CHECK(same_bits(kernels::slice_channels(y, 5, 2), b));
    CHECK(same_bits(kernels::slice_channels(y, 3, 0), none));
  }
  const Tensor a = counting({2, 2}), b = counting({2, 1});
  CHECK(kernels::concat(std::vector<Tensor>{a, b}).to_vector() ==
        std::vector<double>{0, 1, 0, 2, 3, 1});
  const Tensor flat = counting({3});
  CHECK(kernels::concat(std::vector<Tensor>{flat, flat}).shape() == Shape{6});
}

TEST_CASE("crop keeps the top-left of each image; uncrop puts zeros around it") {
  for (DType type : all_types) {
    CAPTURE(type);
    const Tensor x = counting({2, 3, 4, 2}, type);
    const Tensor y = kernels::crop(x, 2, 3);
    CHECK(y.shape() == Shape{2, 2, 3, 2});
    for (int64_t i = 0; i < y.numel(); ++i) {
      const int64_t c = i % 2, col = i / 2 % 3, row = i / 6 % 2, n = i / 12;
      CHECK(y.to_vector()[size_t(i)] == double(((n * 3 + row) * 4 + col) * 2 + c));
    }
    const Tensor z = kernels::uncrop(y, 3, 4);
    CHECK(z.shape() == x.shape());
    CHECK(same_bits(kernels::crop(z, 2, 3), y));
    for (int64_t i = 0; i < z.numel(); ++i)
      if (i / 2 % 4 >= 3 || i / 8 % 3 >= 2) CHECK(z.to_vector()[size_t(i)] == 0);
    CHECK(same_bits(kernels::crop(x, 3, 4), x));
    CHECK(kernels::crop(x, 0, 4).shape() == Shape{2, 0, 4, 2});
    CHECK(kernels::uncrop(kernels::crop(x, 0, 4), 1, 4).to_vector() == std::vector<double>(16));
  }
}

TEST_CASE("permute: y at an index is x at the permuted index") {
  for (DType type : all_types) {
    CAPTURE(type);
    const Tensor x = counting({2, 3, 4}, type);
    const Tensor y = kernels::permute(x, {2, 0, 1});
    CHECK(y.shape() == Shape{4, 2, 3});
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 3; ++j)
        for (int64_t k = 0; k < 4; ++k)
          CHECK(y.to_vector()[size_t((k * 2 + i) * 3 + j)] == double((i * 3 + j) * 4 + k));
    CHECK(same_bits(kernels::permute(y, {1, -1, 0}), x));
    CHECK(same_bits(kernels::permute(x, {0, 1, 2}), x));
  }
  CHECK(kernels::permute(Tensor::scalar(3), {}).item() == 3);
  CHECK(kernels::permute(Tensor::zeros({2, 0, 3}), {2, 1, 0}).shape() == Shape{3, 0, 2});
  const Tensor six = counting({1, 2, 3, 1, 2, 2});
  CHECK(same_bits(kernels::permute(kernels::permute(six, {5, 3, 1, 0, 2, 4}), {3, 2, 4, 1, 5, 0}),
                  six));
}

TEST_CASE("permute: planes larger than a tile, in every order of four axes") {
  const Shape shape{3, 37, 2, 70};
  const Tensor x = normal(shape, DType::f32, 1);
  std::vector<int> order = {0, 1, 2, 3};
  do {
    CAPTURE(order[0] * 1000 + order[1] * 100 + order[2] * 10 + order[3]);
    const Tensor y = kernels::permute(x, order);
    int64_t wrong = 0, i = 0;
    std::array<int64_t, 4> at{};  // the index in x
    for (at[size_t(order[0])] = 0; at[size_t(order[0])] < y.dim(0); ++at[size_t(order[0])])
      for (at[size_t(order[1])] = 0; at[size_t(order[1])] < y.dim(1); ++at[size_t(order[1])])
        for (at[size_t(order[2])] = 0; at[size_t(order[2])] < y.dim(2); ++at[size_t(order[2])])
          for (at[size_t(order[3])] = 0; at[size_t(order[3])] < y.dim(3); ++at[size_t(order[3])])
            wrong += y.data<float>()[i++] !=
                     x.data<float>()[((at[0] * 37 + at[1]) * 2 + at[2]) * 70 + at[3]];
    CHECK(i == x.numel());
    CHECK(wrong == 0);
  } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("layout: equal bits at any thread count") {
  const Tensor x = normal({2, 90, 80, 17}, DType::f32, 1);
  const std::vector<Tensor> parts = {x, x};
  CHECK(same_at_any_thread_count([&] { return kernels::concat(parts); }));
  CHECK(same_at_any_thread_count([&] { return kernels::permute(x, {0, 3, 1, 2}); }));
  CHECK(same_at_any_thread_count([&] { return kernels::uncrop(x, 91, 83); }));
}

TEST_CASE("layout: errors name the shapes") {
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({3, 3});
  CHECK(error_of([&] {
          kernels::concat(std::vector<Tensor>{a, b});
        }) == "concat: the parts are 2x3 and 3x3; only the last extent may differ");
  CHECK(error_of([&] { kernels::concat({}); }) == "concat: there is nothing to join");
  CHECK(error_of([&] { kernels::slice_channels(a, 2, 2); }) ==
        "slice_channels: 2 channels from 2 on are not among the 3 of 2x3");
  CHECK(error_of([&] { kernels::crop(a, 1, 1); }) == "crop: the input is 2x3, not N x H x W x C");
  CHECK(error_of([&] {
          kernels::crop(Tensor::zeros({1, 2, 2, 1}), 3, 1);
        }) == "crop: 3 x 1 does not lie in 1x2x2x1");
  CHECK(error_of([&] {
          kernels::permute(a, {0, 0});
        }) == "permute: axis 0 is absent from 2x3 or named twice");
}

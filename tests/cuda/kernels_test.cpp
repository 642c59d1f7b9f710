// Kernels on the GPU against the CPU's, over sizes around a pack of 16 bytes, a warp, a block and a
// chunk.
#include <optional>

#include "tensor/cuda/cublaslt.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/kernels/layout/layout.h"
#include "tensor/kernels/margin_mean/margin_mean.h"
#include "tensor/kernels/pixels/pixels.h"
#include "tensor/kernels/reduce/reduce.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/kernels/softmax/softmax.h"
#include "tests/cuda/gpu.h"

using namespace cairn;
using namespace cairn::kernels;

namespace {

const std::vector<DType> floats = {DType::f32, DType::f64};

/// Whole numbers of [0, rows).
Tensor random_index(int64_t k, int64_t rows, uint64_t seed = 11) {
  Random random(seed);
  Tensor index = Tensor::empty({k}, DType::i64);
  for (int64_t& i : index.span<int64_t>()) i = random.below(rows);
  return index;
}

}  // namespace

TEST_CASE("gpu elementwise: the same bits, with and without broadcasting") {
  for (DType type : floats) {
    for (int64_t n : {0, 1, 2, 3, 4, 5, 255, 1023, 1024, 1029}) {
      CAPTURE(n);
      const Tensor a = normal({n}, type, 1), b = normal({n}, type, 2);
      CHECK(gap(add, a, b) == 0);
      CHECK(gap(kernels::div, a, b) == 0);
      CHECK(gap(relu_backward, a, b) == 0);
      CHECK(gap([](const Tensor& x) { return affine(x, 0.3, -2); }, a) == 0);
      CHECK(gap([](const Tensor& x) { return clamp(x, -0.5, 1); }, a) == 0);
      CHECK(gap([](const Tensor& x) { return kernels::sqrt(square(x)); }, a) <= 1e-7);
      CHECK(gap(
                [](const Tensor& x, const Tensor& y) {
                  Tensor sum = x.clone();
                  axpy_(sum, -0.75, y);
                  return sum;
                },
                a, b) == 0);
    }
    for (const auto& [sa, sb] : std::vector<std::pair<Shape, Shape>>{{{}, {5}},
                                                                     {{4, 17}, {17}},
                                                                     {{4, 17}, {4, 1}},
                                                                     {{2, 3, 5, 7}, {2, 1, 5, 1}},
                                                                     {{2, 1, 5, 1}, {1, 3, 1, 7}},
                                                                     {{300, 16}, {16}}})
      CHECK(gap(mul, normal(sa, type, 3), normal(sb, type, 4)) == 0);
  }
}

TEST_CASE("gpu elementwise: NaN passes, the first bad element is found") {
  CHECK(std::isnan(on_gpu(relu, Tensor::full({1}, NAN)).item()));
  for (int64_t at : {0, 255, 256, 5000}) {
    Tensor x = Tensor::full({5001}, 1e30);
    CHECK(first_not_finite(there(x)) == -1);
    x.data<float>()[at] = x.data<float>()[5000] = INFINITY;
    CHECK(first_not_finite(there(x)) == at);
  }
}

TEST_CASE("gpu conversions: every pair of types; u8 rounds and clamps") {
  Tensor x = Tensor::empty({300}, DType::f64);
  for (int64_t i = 0; i < 300; ++i) x.data<double>()[i] = 1.37 * double(i) - 60;
  const DType types[] = {DType::f32, DType::f64, DType::bf16, DType::i32, DType::i64, DType::u8};
  for (DType from : types)
    for (DType to : types) {
      CAPTURE(from);
      CAPTURE(to);
      const Tensor given = x.to(from);
      CHECK(same_bits(here(there(given).to(to)), given.to(to)));
    }
  CHECK(same_bits(here(Tensor::full({77}, 2.5, DType::bf16, Device::cuda)),
                  Tensor::full({77}, 2.5, DType::bf16)));
}

TEST_CASE("gpu layout: concat, slice, crop, uncrop and permute move bytes") {
  for (DType type : {DType::f32, DType::bf16, DType::u8, DType::i64})
    for (int64_t c : {1, 3, 4, 16, 20}) {
      CAPTURE(c);
      const Tensor x = normal({2, 5, 7, c}, DType::f32, 1).to(type),
                   y = normal({2, 5, 7, 6}, DType::f32, 2).to(type);
      CHECK(same_bits(on_gpu(
                          [](const Tensor& a, const Tensor& b) {
                            const Tensor both[] = {a, b, a};
                            return concat(both);
                          },
                          x, y),
                      concat(std::vector<Tensor>{x, y, x})));
      const auto slice = [&](const Tensor& t) { return slice_channels(t, c / 2, c - c / 2); };
      const auto smaller = [](const Tensor& t) { return crop(t, 4, 5); };
      const auto larger = [](const Tensor& t) { return uncrop(t, 6, 9); };
      const auto turned = [](const Tensor& t) { return permute(t, {3, 0, 2, 1}); };
      CHECK(same_bits(on_gpu(slice, x), slice(x)));
      CHECK(same_bits(on_gpu(smaller, x), smaller(x)));
      CHECK(same_bits(on_gpu(larger, x), larger(x)));
      CHECK(same_bits(on_gpu(turned, x), turned(x)));
    }
}

TEST_CASE("gpu sums: over every set of axes, over several chunks, and broadcasting back") {
  for (DType type : floats) {
    const Tensor x = normal({3, 4, 5, 6}, type, 1);
    for (int axes = 0; axes < 16; ++axes) {
      std::vector<int> list;
      for (int a = 0; a < 4; ++a)
        if (axes >> a & 1) list.push_back(a);
      CHECK(gap([&](const Tensor& t) { return sum(t, list); }, x) <= tolerance(type));
    }
    for (const Shape& shape : {Shape{20000}, {9001, 3}, {2, 3001, 33}, {0, 5}, {5, 0}})
      CHECK(gap([](const Tensor& t) { return sum(t, {-t.rank()}); }, normal(shape, type, 2)) <=
            tolerance(type));
    CHECK(gap(
              [](const Tensor& t) {
                return broadcast_to(t, {4, 3, 5});
              },
              normal({3, 1}, type, 3)) == 0);
    const Tensor many[] = {normal({70000}, type, 4), normal({3}, type, 5), normal({0}, type, 6)};
    const Tensor gpu[] = {there(many[0]), there(many[1]), there(many[2])};
    CHECK(square_sum(gpu).item() == doctest::Approx(square_sum(many).item()).epsilon(1e-12));
  }
}

TEST_CASE("gpu batch norm: moments, forward and backward in every mode") {
  for (DType type : floats)
    for (const Shape& shape :
         {Shape{1, 1}, {0, 5}, {7, 3}, {9, 4}, {13, 17}, {40, 64}, {5, 260}, {2003, 8}}) {
      CAPTURE(shape);
      const Shape c{shape[-1]};
      Random random(5);
      const Tensor x = normal(shape, type, 1, 0.5), gamma = normal(c, type, 2),
                   beta = normal(c, type, 3), mean = normal(c, type, 4),
                   invstd = random_uniform(c, random, 0.5, 2, type),
                   residual = normal(shape, type, 6), dy = normal(shape, type, 7);
      for (auto part : {&BatchMoments::mean, &BatchMoments::variance})
        CHECK(gap([&](const Tensor& t) { return batch_moments(t).*part; }, x) <= tolerance(type));
      for (int mode = 0; mode < 8; ++mode) {
        const bool relu = mode & 1, training = mode & 2, other = mode & 4;
        CAPTURE(mode);
        CHECK(gap([&](auto... t) { return kernels::batch_norm(t..., relu); }, x, gamma, beta, mean,
                  invstd, other ? residual : Tensor()) <= tolerance(type));
        const Tensor y = relu ? residual : Tensor();
        const auto backward = [&](auto part) {
          return [&, part](auto... t) {
            return batch_norm_backward(t..., relu, training, other).*part;
          };
        };
        CHECK(gap(backward(&BatchNormGrads::dx), dy, x, y, gamma, mean, invstd) <= tolerance(type));
        CHECK(difference(on_gpu(backward(&BatchNormGrads::dgamma), dy, x, y, gamma, mean, invstd),
                         backward(&BatchNormGrads::dgamma)(dy, x, y, gamma, mean, invstd),
                         true) <= tolerance(type));
        CHECK(difference(on_gpu(backward(&BatchNormGrads::dbeta), dy, x, y, gamma, mean, invstd),
                         backward(&BatchNormGrads::dbeta)(dy, x, y, gamma, mean, invstd),
                         true) <= tolerance(type));
        if (other)
          CHECK(gap(backward(&BatchNormGrads::dresidual), dy, x, y, gamma, mean, invstd) == 0);
      }
    }
}

TEST_CASE("gpu batch norm: accurate where the mean is ten thousand deviations") {
  const Tensor x = normal({3000, 5}, DType::f32, 9, 1e4);
  CHECK(difference(here(batch_moments(there(x)).variance), reference::batch_moments(x).variance) <=
        1e-5);
}

TEST_CASE("gpu rows: gather, scatter with repeated rows, distances, norms, softmax") {
  for (DType type : floats)
    for (int64_t c : {1, 3, 4, 31, 32, 33, 70}) {
      CAPTURE(c);
      const Tensor x = normal({37, c}, type, 1), y = normal({37, c}, type, 2);
      const Tensor index = random_index(150, 37), few = random_index(150, 3);
      CHECK(same_bits(on_gpu(gather_rows, x, index), gather_rows(x, index)));
      const Tensor dy = normal({150, c}, type, 3);
      const auto scatter = [](const Tensor& d, const Tensor& i) {
        return scatter_add_rows(d, i, 37);
      };
      CHECK(gap(scatter, dy, index) <= tolerance(type));
      CHECK(gap(scatter, dy, few) <= tolerance(type));
      CHECK(gap(row_distance2, x, y) <= tolerance(type));
      CHECK(gap(row_distance2_backward, x, y, normal({37}, type, 4)) == 0);
      CHECK(gap([](const Tensor& t) { return l2_normalize(t, 1e-8); }, x) <= tolerance(type));
      CHECK(gap([](const Tensor& t, const Tensor& d) { return l2_normalize_backward(t, d, 1e-8); },
                x, y) <= tolerance(type) * 10);
      CHECK(gap(softmax, x) <= tolerance(type));
      CHECK(gap(log_softmax, x) <= tolerance(type));
      CHECK(gap(softmax_backward, x, y) <= tolerance(type));
      CHECK(gap(log_softmax_backward, x, y) <= tolerance(type));
    }
  const Tensor zero = there(Tensor::zeros({1, 8}));
  for (double v : here(l2_normalize(zero, 1e-8)).to_vector()) CHECK(v == 0);
}

TEST_CASE("gpu rows: an index that is out of range reads NaN and writes nothing") {
  const Tensor index = Tensor::from({3}, std::vector<int64_t>{1, -1, 2});
  const Tensor y = on_gpu(gather_rows, normal({2, 3}, DType::f32, 1), index);
  for (int64_t i = 0; i < 9; ++i) CHECK(std::isnan(y.data<float>()[i]) == (i >= 3));
  const Tensor dx =
      on_gpu([](const Tensor& d, const Tensor& i) { return scatter_add_rows(d, i, 2); },
             Tensor::full({3, 1}, 5), index);
  CHECK(dx.to_vector() == std::vector<double>{0, 5});
}

TEST_CASE("gpu bilinear: borders, repeated places, both directions") {
  for (DType type : floats) {
    Random random(1);
    const Tensor x = normal({9, 7, 5}, type, 2), dy = normal({200, 5}, type, 3);
    const Tensor at = random_uniform({200, 2}, random, -2, 10, type);
    CHECK(gap(bilinear_sample, x, at) <= tolerance(type));
    CHECK(gap(
              [](auto... t) {
                return bilinear_sample_backward(t..., Shape{9, 7, 5});
              },
              dy, at) <= tolerance(type));
  }
}

TEST_CASE("gpu matmul: every transposition, around the tile, by the own kernel and as it comes") {
  std::optional<OwnKernels> own(std::in_place);
  const auto every = [] {
    for (DType type : floats)
      for (int64_t m : {1, 63, 65})
        for (int64_t n : {1, 64, 70})
          for (int64_t k : {0, 1, 16, 33})
            for (int t = 0; t < 4; ++t) {
              const bool ta = t & 1, tb = t & 2;
              const Tensor a = normal(ta ? Shape{k, m} : Shape{m, k}, type, 1),
                           b = normal(tb ? Shape{n, k} : Shape{k, n}, type, 2);
              CHECK(gap([&](auto... x) { return matmul(x..., ta, tb); }, a, b) <= tolerance(type));
            }
  };
  every();
  own.reset();
  if (cairn::cuda::cublaslt_status().starts_with("cuBLASLt ")) every();
}

TEST_CASE("gpu pixels: far from a place, moved and kept inside") {
  const Tensor pixels = random_index(300, 12 * 20);
  Random random(2);
  const Tensor places = random_uniform({300, 2}, random, 0, 15, DType::f64);
  CHECK(gap([](auto... t) { return far_pixels(t..., 7, 20, 4); }, pixels, places) == 0);
  Tensor moves = Tensor::empty({300, 2}, DType::i64);
  for (int64_t& m : moves.span<int64_t>()) m = random.below(5) - 2;
  CHECK(gap([](auto... t) { return moved_pixels(t..., 12, 20); }, pixels, moves) == 0);
}

TEST_CASE("gpu margin mean: value, count and both gradients") {
  for (DType type : floats) {
    const auto places = [](int64_t n, uint64_t seed) {
      Random random(seed);
      return random_uniform({n, 2}, random, 0, 20, DType::f64);
    };
    const Tensor a = normal({9, 5}, type, 1), b = normal({301, 5}, type, 2);
    const Margin cpu{places(9, 3), places(301, 4), 4, 3};
    const Margin gpu{there(cpu.positions_a), there(cpu.positions_b), 4, 3};
    const auto one = margin_mean(a, b, cpu), two = margin_mean(there(a), there(b), gpu);
    CHECK(one.count.item() == two.count.item());
    CHECK(one.count.item() > 100);
    CHECK(difference(here(two.mean), one.mean) <= tolerance(type));
    const Tensor dy = Tensor::scalar(1.5, type);
    const auto g1 = margin_mean_backward(dy, one.count, a, b, cpu);
    const auto g2 = margin_mean_backward(there(dy), two.count, there(a), there(b), gpu);
    CHECK(difference(here(g2.da), g1.da) <= tolerance(type));
    CHECK(difference(here(g2.db), g1.db) <= tolerance(type));
  }
}

TEST_CASE("gpu bf16: what the network needs, within the rounding of its storage") {
  const double rounding = 0x1p-8;  // of one bf16 result
  const Tensor x = normal({2, 9, 7, 24}, DType::f32, 1), y = normal({2, 9, 7, 24}, DType::f32, 2);
  const auto stored = [](const Tensor& t) { return t.to(DType::bf16).to(DType::f32); };
  const Tensor rx = stored(x), ry = stored(y);
  const Tensor c = normal({24}, DType::f32, 3), s = square(normal({24}, DType::f32, 4));
  // f in bf16 on the GPU, and in f32 on the CPU of the same rounded values.
  const auto check = [&](auto f, const auto&... operands) {
    const Tensor gpu = here(f(there(operands.to(DType::bf16))...));
    CHECK(difference(gpu.to(DType::f32), f(operands...).to(DType::f32)) <= rounding);
  };
  check(add, rx, ry);
  check(relu, rx);
  check([](const Tensor& t) { return l2_normalize(t, 1e-8); }, rx);
  check([](const Tensor& t) { return sum(t, {0, 1, 2}); }, rx);
  check([](const Tensor& t) { return batch_moments(t).variance; }, rx);
  check([](const Tensor& t) { return crop(t, 3, 4); }, rx);
  const auto at = [](const Tensor& t, const Tensor& like) { return t.to(like.device()); };
  check(
      [&](const Tensor& t, const Tensor& r) {
        return kernels::batch_norm(t, at(c, t), at(c, t), at(c, t), at(s, t), r, true);
      },
      rx, ry);
  check(
      [&](const Tensor& d, const Tensor& t) {
        return batch_norm_backward(d, t, t, at(c, t), at(c, t), at(s, t), true, true, true).dx;
      },
      ry, rx);
  const Tensor unit = there(x.to(DType::bf16)), dy = there(y);
  CHECK(difference(here(l2_normalize_backward(unit, dy, 1e-8)).to(DType::f32),
                   l2_normalize_backward(rx, y, 1e-8)) <= rounding);
}

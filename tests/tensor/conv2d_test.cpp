#include "tensor/kernels/conv2d/conv2d.h"
#include "tensor/kernels/conv2d/algorithm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/simd.h"
#include "tests/compare.h"
#include "tests/tensor/conv2d_cases.h"

using namespace cairn;
using kernels::ConvAlgorithm;
using kernels::Epilogue;

namespace {

Tensor normal(const Shape& shape, DType type, uint64_t seed) {
  Random random(seed);
  return random_normal(shape, random, 0, 1, type);
}

/// Winograd's larger tiles add numbers that cancel: a few times the rounding of the direct way.
double tolerance(DType type, ConvAlgorithm algorithm = ConvAlgorithm::automatic) {
  const bool careful = algorithm == ConvAlgorithm::direct || algorithm == ConvAlgorithm::winograd2;
  return (type == DType::f32 ? 1e-5 : 1e-13) * (careful ? 1 : 3);
}

double dot(const Tensor& a, const Tensor& b) {
  const auto va = a.to_vector(), vb = b.to_vector();
  REQUIRE(va.size() == vb.size());
  double sum = 0;
  for (size_t i = 0; i < va.size(); ++i) sum += va[i] * vb[i];
  return sum;
}

constexpr ConvAlgorithm algorithms[] = {ConvAlgorithm::direct, ConvAlgorithm::winograd2,
                                        ConvAlgorithm::winograd4, ConvAlgorithm::automatic};

/// Puts target, algorithm and thread count back at the end of a test.
struct Restore {
  ConvAlgorithm algorithm = kernels::conv_algorithm();
  std::string target = simd_target();
  int threads = num_threads();
  ~Restore() {
    kernels::set_conv_algorithm(algorithm);
    set_simd_target(target);
    set_num_threads(threads);
  }
};

std::string message(auto&& f) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.id() == ErrorId::shape);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("convolution and its gradients agree with the reference on every target") {
  const Restore restore;
  for (const Case& c : cases())
    for (DType type : {DType::f32, DType::f64}) {
      CAPTURE(c);
      CAPTURE(type);
      const Tensor x = normal(c.x, type, 1), w = normal(c.w, type, 2), dy = normal(c.y(), type, 3);
      const Tensor y = kernels::reference::conv2d(x, w, c.g);
      const Tensor dx = kernels::reference::conv2d_data_grad(dy, w, c.g, c.x);
      const Tensor dw = kernels::reference::conv2d_weight_grad(x, dy, c.g, c.w);
      const bool winograd = c.w[1] == 3 && c.w[2] == 3 && c.g.stride[0] < 3;
      for (const auto& target : simd_targets())
        for (ConvAlgorithm algorithm : algorithms) {
          if (!winograd && algorithm != ConvAlgorithm::direct) continue;
          CAPTURE(target);
          CAPTURE(name(algorithm));
          set_simd_target(target);
          kernels::set_conv_algorithm(algorithm);
          CHECK(difference(kernels::conv2d(x, w, c.g), y, true) <= tolerance(type, algorithm));
          CHECK(difference(kernels::conv2d_data_grad(dy, w, c.g, c.x), dx, true) <=
                tolerance(type, algorithm));
          CHECK(difference(kernels::conv2d_weight_grad(x, dy, c.g, c.w), dw, true) <=
                tolerance(type, algorithm));
        }
    }
}

TEST_CASE("the reference convolves: a hand-computed example") {
  const Tensor x = Tensor::from<float>({1, 2, 3, 1}, std::vector<float>{1, 2, 3, 4, 5, 6});
  const Tensor w = Tensor::from<float>({1, 1, 2, 1}, std::vector<float>{10, 1});
  const Conv2dGeometry g{{1, 2}, {0, 1}, {1, 1}};
  // Rows 0 1 2 3 0 and 0 4 5 6 0, two columns at a time, every second one.
  const Tensor y = Tensor::from<float>({1, 2, 2, 1}, std::vector<float>{1, 23, 4, 56});
  CHECK(same_bits(kernels::reference::conv2d(x, w, g), y));
  CHECK(same_bits(kernels::conv2d(x, w, g), y));
}

TEST_CASE("the gradients are adjoint: <y(x, w), dy> = <x, dx(dy, w)> = <w, dw(x, dy)>") {
  for (const Case& c : cases()) {
    CAPTURE(c);
    const Tensor x = normal(c.x, DType::f64, 4), w = normal(c.w, DType::f64, 5);
    const Tensor dy = normal(c.y(), DType::f64, 6);
    const double forward = dot(kernels::conv2d(x, w, c.g), dy);
    const double scale = 1 + std::sqrt(double(x.numel()) * double(c.w.numel()));
    CHECK(std::fabs(dot(x, kernels::conv2d_data_grad(dy, w, c.g, c.x)) - forward) <= 1e-12 * scale);
    CHECK(std::fabs(dot(w, kernels::conv2d_weight_grad(x, dy, c.g, c.w)) - forward) <=
          1e-12 * scale);
  }
}

TEST_CASE("the bits are equal at 1, 2 and 7 threads") {
  const Restore restore;
  const Conv2dGeometry same{{1, 1}, {1, 1}, {1, 1}}, half{{2, 2}, {1, 1}, {1, 1}};
  for (const Case& c :
       {Case{{2, 60, 80, 16}, {16, 3, 3, 16}, same}, Case{{1, 15, 20, 64}, {96, 3, 3, 64}, same},
        Case{{1, 61, 83, 9}, {33, 3, 3, 9}, half}}) {
    CAPTURE(c);
    const Tensor x = normal(c.x, DType::f32, 1), w = normal(c.w, DType::f32, 2);
    const Tensor dy = normal(c.y(), DType::f32, 3);
    set_num_threads(1);
    const Tensor y = kernels::conv2d(x, w, c.g), dx = kernels::conv2d_data_grad(dy, w, c.g, c.x),
                 dw = kernels::conv2d_weight_grad(x, dy, c.g, c.w);
    for (int threads : {2, 7}) {
      set_num_threads(threads);
      CHECK(same_bits(kernels::conv2d(x, w, c.g), y));
      CHECK(same_bits(kernels::conv2d_data_grad(dy, w, c.g, c.x), dx));
      CHECK(same_bits(kernels::conv2d_weight_grad(x, dy, c.g, c.w), dw));
    }
  }
}

TEST_CASE("the epilogue adds bias, then residual, then clips at zero") {
  const Restore restore;
  const Conv2dGeometry g{{1, 1}, {1, 1}, {1, 1}};
  for (int64_t outputs : {1, 16, 21, 32, 40})
    for (DType type : {DType::f32, DType::f64}) {
      const Tensor x = normal({2, 5, 17, 4}, type, 1), w = normal({outputs, 3, 3, 4}, type, 2);
      const Tensor bias = normal({outputs}, type, 3),
                   residual = normal({2, 5, 17, outputs}, type, 4);
      for (int parts = 0; parts < 8; ++parts) {
        Epilogue e;
        if (parts & 1) e.bias = bias;
        if (parts & 2) e.residual = residual;
        e.relu = parts & 4;
        const Tensor expected = kernels::reference::conv2d(x, w, g, e);
        for (const auto& target : simd_targets()) {
          CAPTURE(target);
          CAPTURE(outputs);
          CAPTURE(parts);
          set_simd_target(target);
          CHECK(difference(kernels::conv2d(x, w, g, e), expected, true) <= tolerance(type));
        }
      }
    }
}

TEST_CASE("a transposed convolution takes the same epilogue, whichever way it is computed") {
  const Restore restore;
  const Conv2dGeometry g{{2, 2}, {0, 0}, {1, 1}};
  for (int64_t outputs : {1, 16, 21, 40})
    for (const Shape& image : {Shape{1, 1}, {2, 3}, {7, 10}}) {
      const Shape big{2, 2 * image[0] + 1, 2 * image[1] + 1, outputs};
      const Tensor x = normal({2, image[0], image[1], 5}, DType::f32, 1);
      const Tensor w = normal({5, 3, 3, outputs}, DType::f32, 2);
      const Epilogue e{normal({outputs}, DType::f32, 3), normal(big, DType::f32, 4), true};
      Tensor expected = kernels::reference::conv2d_data_grad(x, w, g, big);
      for (int64_t i = 0; i < expected.numel(); ++i) {
        float& v = expected.data<float>()[i];
        v = std::max(0.f, v + e.bias.data<float>()[i % outputs] + e.residual.data<float>()[i]);
      }
      for (ConvAlgorithm algorithm : algorithms) {
        kernels::set_conv_algorithm(algorithm);
        CHECK(difference(kernels::conv2d_data_grad(x, w, g, big, e), expected, true) <= 1e-5);
      }
    }
  CHECK(message([&] {
          kernels::conv2d_data_grad(Tensor::zeros({1, 2, 2, 3}), Tensor::zeros({3, 3, 3, 4}), g,
                                    {1, 5, 5, 4}, {Tensor::zeros({3}), {}, false});
        }) == "conv2d_data_grad: the bias is 3, but there are 4 output channels");
}

TEST_CASE("a NaN survives the fused ReLU") {
  for (int64_t outputs : {3, 32}) {
    const Tensor x = Tensor::full({1, 1, 1, 1}, NAN), w = Tensor::full({outputs, 1, 1, 1}, 1);
    for (double v : kernels::conv2d(x, w, {}, {{}, {}, true}).to_vector()) CHECK(std::isnan(v));
  }
}

TEST_CASE("zero weights and zero padding do not hide a NaN inside the image") {
  Tensor x = Tensor::zeros({1, 3, 3, 1});
  x.data<float>()[4] = NAN;
  const Tensor y = kernels::conv2d(x, Tensor::zeros({1, 3, 3, 1}), {{1, 1}, {1, 1}, {1, 1}});
  for (double v : y.to_vector()) CHECK(std::isnan(v));
}

TEST_CASE("errors name what came and what was expected") {
  const Tensor x = Tensor::zeros({1, 4, 5, 3}), w = Tensor::zeros({32, 3, 3, 1});
  CHECK(message([&] { kernels::conv2d(x, w, {}); }) ==
        "conv2d: the input has 3 channels, but the weight expects 1 (weight 32x3x3x1)");
  CHECK(message([&] { kernels::reference::conv2d(x, w, {}); }) ==
        message([&] { kernels::conv2d(x, w, {}); }));
  CHECK(message([&] {
          kernels::conv2d(x.reshape({4, 5, 3}), w, {});
        }) == "conv2d: the input is 4x5x3, not N x H x W x C");
  CHECK(message([&] {
          kernels::conv2d(x, Tensor::zeros({3, 3}), {});
        }) == "conv2d: the weight is 3x3, not O x KH x KW x I");
  CHECK(message([&] {
          kernels::conv2d(x, Tensor::zeros({2, 0, 3, 3}), {});
        }) == "conv2d: the kernel is empty (weight 2x0x3x3)");
  const Tensor v = Tensor::zeros({2, 3, 3, 3});
  CHECK(message([&] {
          kernels::conv2d(x, v, {{1, 0}, {0, 0}, {1, 1}});
        }) == "conv2d: the stride is 0, not 1 or more");
  CHECK(message([&] {
          kernels::conv2d(x, v, {{1, 1}, {0, 0}, {-1, 1}});
        }) == "conv2d: the dilation is -1, not 1 or more");
  CHECK(message([&] {
          kernels::conv2d(x, v, {{1, 1}, {-1, 0}, {1, 1}});
        }) == "conv2d: the padding is -1, not 0 or more");
  CHECK(message([&] {
          kernels::conv2d(x, v, {}, {Tensor::zeros({3}), {}, false});
        }) == "conv2d: the bias is 3, but there are 2 output channels");
  CHECK(message([&] {
          kernels::conv2d(x, v, {}, {{}, Tensor::zeros({1, 2, 3, 3}), false});
        }) == "conv2d: the residual is 1x2x3x3, but the result is 1x2x3x2");
  CHECK(message([&] { kernels::conv2d_data_grad(x, v, {}, x.shape()); }) ==
        "conv2d_data_grad: the gradient is 1x4x5x3, but the convolution's result is 1x2x3x2");
  CHECK(message([&] { kernels::conv2d_weight_grad(x, x, {}, v.shape()); }) ==
        "conv2d_weight_grad: the gradient is 1x4x5x3, but the convolution's result is 1x2x3x2");
  CHECK_THROWS_WITH_AS(kernels::conv2d(x, Tensor::zeros({2, 3, 3, 3}, DType::f64), {}),
                       "conv2d: the operands are f32 and f64", Error);
}

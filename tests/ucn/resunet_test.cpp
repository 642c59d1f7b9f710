// ResUNet2: the twelve variants, any image size, and what training and evaluation mean.
#include "ucn/resunet.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/kernels/conv2d/algorithm.h"
#include "tensor/parallel.h"
#include "tests/compare.h"

using namespace cairn;
using ucn::ResUNet;

namespace {

Tensor picture(const Shape& shape, uint64_t seed = 1) {
  Random random(seed);
  return random_uniform(shape, random, -0.5, 0.5);
}

/// The MFLOP of a summary's last line.
double total_mflop(const std::string& summary) {
  const size_t end = summary.find_last_not_of(" \n"), begin = summary.find_last_of(' ', end);
  return std::stod(summary.substr(begin, end + 1 - begin));
}

/// Two for each multiply-add of the convolutions, from the architecture's description. The blocks
/// on the way up also see the 2n + 1st row and column, cropped after them.
double gflop(const ucn::ResUNetVariant& v, int64_t height, int64_t width, int64_t outputs) {
  const auto conv = [](int64_t h, int64_t w, int64_t in, int64_t out, int64_t kernel) {
    return 2e-9 * double(h * w * in * out * kernel * kernel);
  };
  int64_t h[4] = {height}, w[4] = {width}, channels = 1;
  double total = 0;
  for (int i = 0; i < 4; ++i) {
    if (i) h[i] = (h[i - 1] + 1) / 2, w[i] = (w[i - 1] + 1) / 2;
    total += conv(h[i], w[i], channels, v.down[i], 3) +
             2 * v.depth * conv(h[i], w[i], v.down[i], v.down[i], 3);
    channels = v.down[i];
  }
  for (int i = 3; i > 0; --i) {
    total += conv(h[i], w[i], channels, v.up[i], 3) +
             2 * v.depth * conv(2 * h[i] + 1, 2 * w[i] + 1, v.up[i], v.up[i], 3);
    channels = v.up[i] + v.down[i - 1];
  }
  return total + conv(height, width, channels, v.up[0], 1) +
         conv(height, width, v.up[0], outputs, 1);
}

/// Batch b of a batch.
Tensor element(const Tensor& x, int64_t b) {
  const size_t n = size_t(x.numel() / x.dim(0));
  return Tensor::from({1, x.dim(1), x.dim(2), x.dim(3)}, x.span<float>().subspan(size_t(b) * n, n));
}

}  // namespace

TEST_CASE("the reference's twelve variants have its parameters and operations") {
  struct {
    const char* name;
    double million_parameters, gflop_at_480x640;
  } const table[] = {
      {"ResUNetBN2", 2.92, 146},   {"ResUNetBN2B", 2.52, 138},  {"ResUNetBN2C", 2.93, 150},
      {"ResUNetBN2D", 3.33, 196},  {"ResUNetBN2D2", 3.68, 359}, {"ResUNetBN2D3", 4.90, 458},
      {"ResUNetBN2E", 4.45, 596},  {"ResUNetBN2F", 1.17, 60},   {"ResUNetBN2G", 7.16, 753},
      {"ResUNetBN2G2", 7.19, 766}, {"ResUNetBN2G3", 6.41, 739}, {"ResUNetBN2H", 11.74, 1353}};
  CHECK(ucn::resunet_variants().size() == std::size(table) + 1);  // and ResUNetSlim, ours
  for (const auto& row : table) {
    CAPTURE(row.name);
    Random random(1);
    ResUNet model({.model = row.name, .outputs = 64}, random);
    CHECK(std::fabs(double(model.parameter_count()) * 1e-6 - row.million_parameters) <= 0.0051);
    // How the table counts is not told; it exceeds the convolutions by up to 2 %.
    const auto& variant = ucn::resunet_variant(row.name);
    const double table_share = gflop(variant, 480, 640, 64) / row.gflop_at_480x640;
    CHECK(table_share > 0.979);
    CHECK(table_share < 1.001);
    const double counted = total_mflop(nn::summary(model, {1, 13, 18, 1})) * 1e-3;
    CHECK(std::fabs(counted - gflop(variant, 13, 18, 64)) <= 1e-5);
  }
}

TEST_CASE("parameters bear PyTorch's names; depth two has two blocks per level") {
  Random random(1);
  const auto names = [&](const char* model) {
    std::vector<std::string> list;
    for (const auto& p : ResUNet({.model = model, .outputs = 2}, random).parameters())
      list.push_back(p.name);
    return list;
  };
  const auto f = names("ResUNetBN2F"), h = names("ResUNetBN2H");
  CHECK(f.size() == 66);
  CHECK(h.size() == 66 + 7 * 6);
  CHECK(f[0] == "conv1.weight");
  CHECK(f[3] == "blocks1.0.conv1.weight");
  CHECK(f.back() == "final.bias");
  for (const char* name : {"norm4_tr.bias", "blocks2_tr.0.bn2.weight", "conv1_tr.weight"})
    CHECK(std::ranges::count(f, name) == 1);
  CHECK(std::ranges::count(h, "blocks3_tr.1.conv2.weight") == 1);
}

TEST_CASE("images of any size, gray or coloured, give features of unit length at every pixel") {
  Random random(2);
  ResUNet gray({.outputs = 5}, random), colour({.inputs = 3, .outputs = 4}, random);
  for (ResUNet* model : {&gray, &colour}) {
    model->eval();
    const int64_t c = model->config().outputs;
    for (const Shape& size : {Shape{1, 1}, {1, 7}, {2, 3}, {8, 1}, {5, 5}, {8, 8}, {9, 17}}) {
      CAPTURE(size);
      const int64_t h = size[0], w = size[1];
      const Tensor y = (*model)(picture({2, h, w, model->config().inputs})).value();
      REQUIRE(y.shape() == Shape{2, h, w, c});
      for (int64_t pixel = 0; pixel < 2 * h * w; ++pixel) {
        double square = 0;
        for (int64_t k = 0; k < c; ++k) square += std::pow(y.data<float>()[pixel * c + k], 2);
        CHECK(std::fabs(square - 1) <= 1e-5);
      }
    }
  }
}

TEST_CASE("without normalisation the lengths are the network's own") {
  Random a(3), b(3);
  ResUNet raw({.outputs = 4, .normalize = false}, a), unit({.outputs = 4}, b);
  const Tensor x = picture({1, 6, 7, 1});
  CHECK(difference(l2_normalize(raw(x)).value(), unit(x).value()) <= 1e-6);
  CHECK_FALSE(difference(raw(x).value(), unit(x).value()) <= 1e-2);
}

TEST_CASE("in evaluation an image's features do not depend on its neighbours in the batch") {
  Random random(4);
  ResUNet model({.outputs = 6}, random);
  const Tensor x = picture({2, 13, 10, 1});
  const Tensor trained = model(x).value();  // also moves the running statistics
  CHECK_FALSE(difference(element(trained, 1), model(element(x, 1)).value()) <= 1e-3);
  model.eval();
  const Tensor both = model(x).value();
  for (int64_t b = 0; b < 2; ++b)
    CHECK(difference(element(both, b), model(element(x, b)).value()) <= 1e-5);
}

TEST_CASE("every parameter and the input get a gradient; 1, 2 and 7 threads give equal bits") {
  const auto run = [](int threads) {
    const int before = num_threads();
    set_num_threads(threads);
    Random random(5);
    ResUNet model({.outputs = 8}, random);
    const Var x(picture({2, 17, 22, 1}), true);
    const Var y = model(x);
    y.backward(picture(y.shape(), 9));
    std::vector<Tensor> all = {y.value(), x.grad()};
    for (const auto& p : model.parameters()) all.push_back(p.var.grad());
    for (const auto& s : model.state()) all.push_back(s.tensor);
    set_num_threads(before);
    return all;
  };
  const auto one = run(1);
  for (size_t i = 0; i < 2 + 66; ++i) {
    CAPTURE(i);
    REQUIRE(one[i].defined());
    double square = 0;
    for (double v : one[i].to_vector()) square += v * v;
    CHECK(square > 0);
    CHECK(std::isfinite(square));
  }
  for (int threads : {2, 7}) {
    const auto other = run(threads);
    for (size_t i = 0; i < one.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(one[i], other[i]));
    }
  }
}

TEST_CASE("mistakes are named") {
  Random random(6);
  ResUNet model({.outputs = 2}, random);
  const auto message = [](auto&& f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(message([&] { model(picture({1, 8, 8, 3})); }).find("1x8x8x3") != std::string::npos);
  CHECK(message([&] {
          model(picture({1, 0, 8, 1}));
        }).find("at least one pixel") != std::string::npos);
  CHECK(message([&] { ucn::resunet_variant("ResNet50"); }).find("ResUNetBN2D3") !=
        std::string::npos);
  CHECK_THROWS_AS(ResUNet({.outputs = 0}, random), Error);
}

TEST_CASE("with image statistics evaluation sees what training saw") {
  for (bool image_statistics : {false, true}) {
    Random random(3);
    ResUNet network({.outputs = 8, .image_statistics = image_statistics}, random);
    const Tensor x = random_uniform({1, 17, 23, 1}, random, -0.5, 0.5);
    const Tensor trained = network(x).value();
    network.eval();
    CHECK(same_bits(network(x).value(), trained) == image_statistics);
  }
}

TEST_CASE("every way to convolve gives the same features within 1e-4") {
  using kernels::ConvAlgorithm;
  const ConvAlgorithm before = kernels::conv_algorithm();
  for (const char* name : {"ResUNetBN2F", "ResUNetBN2D2"}) {
    Random random(7);
    ResUNet net({.model = name}, random);
    const auto run = [&](ConvAlgorithm algorithm) {
      NoGrad no_grad;
      kernels::set_conv_algorithm(algorithm);
      return net(picture({1, 45, 58, 1})).value();
    };
    net.train();  // moments of the image, so that the signal does not fade in an untrained network
    const Tensor direct = run(ConvAlgorithm::direct);
    CHECK(difference(run(ConvAlgorithm::winograd2), direct) <= 1e-4);
    CHECK(difference(run(ConvAlgorithm::winograd4), direct) <= 1e-4);
    CHECK(difference(run(ConvAlgorithm::automatic), direct) <= 1e-4);
    CHECK_FALSE(same_bits(run(ConvAlgorithm::winograd4), direct));  // the switch does something
  }
  kernels::set_conv_algorithm(before);
}

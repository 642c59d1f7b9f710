// The benchmarks on a GPU, under the names that tests/peers/torch_peer.py has for the same work.
#pragma once

#include "bin/bench.h"
#include "tensor/graph.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/conv2d/conv2d.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/kernels/nearest/nearest.h"
#include "ucn/keypoints.h"
#include "ucn/matcher.h"
#include "ucn/precision.h"

namespace cairn {

inline const std::vector<std::string>& precisions() {
  static const std::vector<std::string> all = {"fp32", "tf32", "bf16"};
  return all;
}

/// Noise on the GPU in the precision's type; float32 products follow the precision from now on.
inline Tensor operand(const std::string& precision, const Shape& shape) {
  cuda::set_math(precision == "fp32" ? cuda::Math::fp32 : cuda::Math::tf32);
  return noise(shape).to(Device::cuda).to(precision == "bf16" ? DType::bf16 : DType::f32);
}

inline void gpu_limits(Bench& bench) {
  {
    const Tensor x = Tensor::zeros({int64_t(1) << 28}, DType::f32, Device::cuda);
    Tensor y = x.clone();
    bench("copy 1 GiB", 0, 2e-9 * double(x.nbytes()), [&] { y.assign_(x); });
    bench.set_limit("copy 1 GiB");
  }
  for (const auto& p : precisions()) {
    const Tensor a = operand(p, {8192, 8192}), b = operand(p, {8192, 8192});
    bench(
        "matmul 8192x8192x8192", 2e-9 * 8192 * 8192 * 8192.0, 0, [&] { kernels::matmul(a, b); }, p);
    bench.set_limit("matmul 8192x8192x8192", p);
  }
}

inline void gpu_operations(Bench& bench) {
  constexpr int64_t h = 480, w = 640;
  const Conv2dGeometry same{{1, 1}, {1, 1}, {1, 1}};
  struct Layer {
    int64_t scale, in, out;
  };
  for (const auto& [scale, in, out] : {Layer{1, 1, 16},
                                       {1, 16, 16},
                                       {1, 32, 32},
                                       {1, 128, 128},
                                       {2, 32, 32},
                                       {2, 64, 64},
                                       {2, 128, 128},
                                       {4, 64, 64},
                                       {4, 128, 128},
                                       {8, 128, 128},
                                       {8, 256, 256}}) {
    const int64_t hs = h / scale, ws = w / scale;
    const std::string name = cat("conv2d 3x3 ", in, "->", out, " at ", hs, "x", ws);
    if (!bench.wanted(name) && !bench.wanted(name + ", data gradient") &&
        !bench.wanted(name + ", weight gradient"))
      continue;
    for (const auto& p : precisions()) {
      const Tensor x = operand(p, {1, hs, ws, in}), weight = operand(p, {out, 3, 3, in}),
                   dy = operand(p, {1, hs, ws, out});
      const double gflop = 2e-9 * double(hs * ws * in * out) * 9;
      const double gbyte = 1e-9 * double(x.nbytes() + weight.nbytes() + dy.nbytes());
      bench(
          name, gflop, gbyte, [&] { kernels::conv2d(x, weight, same); }, p);
      bench(
          name + ", data gradient", gflop, gbyte,
          [&] { kernels::conv2d_data_grad(dy, weight, same, x.shape()); }, p);
      bench(
          name + ", weight gradient", gflop, gbyte,
          [&] { kernels::conv2d_weight_grad(x, dy, same, weight.shape()); }, p);
    }
  }
  for (const std::string p : {"fp32", "bf16"}) {
    for (int64_t c : {16, 128}) {
      const Tensor x = operand(p, {1, h, w, c}), dy = operand(p, {1, h, w, c});
      const Tensor one = Tensor::full({c}, 1, DType::f32, Device::cuda);
      const Tensor zero = Tensor::zeros({c}, DType::f32, Device::cuda);
      const double gbyte = 1e-9 * double(x.nbytes());
      const auto forward = [&] {
        const auto m = kernels::batch_moments(x);
        return std::pair(m, kernels::batch_norm(x, one, zero, m.mean, m.invstd, {}, true));
      };
      const std::string name = cat("batch norm + relu ", h, "x", w, "x", c, ", training");
      bench(name + ", forward", 0, 3 * gbyte, forward, p);
      bench(
          name + ", forward and backward", 0, 10 * gbyte,
          [&] {
            const auto [m, y] = forward();
            kernels::batch_norm_backward(dy, x, y, one, m.mean, m.invstd, true, true, false);
          },
          p);
      bench(
          cat("add ", h, "x", w, "x", c), 0, 3 * gbyte, [&] { kernels::add(x, dy); }, p);
      bench(
          cat("relu ", h, "x", w, "x", c), 0, 2 * gbyte, [&] { kernels::relu(x); }, p);
    }
    const Tensor x = operand(p, {h * w, 64}), dy = operand("fp32", {h * w, 64});
    const double gbyte = 1e-9 * double(x.nbytes()), gbyte32 = 1e-9 * double(dy.nbytes());
    bench(
        "l2 normalize 480x640x64, forward", 0, gbyte + gbyte32,
        [&] { kernels::l2_normalize(x, 1e-8); }, p);
    bench(
        "l2 normalize 480x640x64, forward and backward", 0, 3 * gbyte + 2 * gbyte32,
        [&] {
          kernels::l2_normalize(x, 1e-8);
          kernels::l2_normalize_backward(x, dy, 1e-8);
        },
        p);
  }
  const Tensor queries = operand("fp32", {2000, 64}), database = operand("fp32", {h * w, 64});
  bench("nearest 2000 x 307200 x 64", 2e-9 * 2000 * double(h * w) * 64, 0,
        [&] { kernels::nearest(queries, database); });
}

inline void gpu_network(Bench& bench, const std::string& model) {
  using namespace ucn;
  const ResUNetConfig config{.model = model};
  Random random(0);
  ResUNet net(config, random);
  net.to(Device::cuda);
  net.eval();
  NoGrad no_grad;
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{480, 640}, {1200, 1600}})
    for (int64_t batch : {1, 8}) {
      const std::string name = cat("forward ", h, "x", w, " batch ", batch);
      if (!bench.wanted(name)) continue;
      const double gflop = forward_gflop(config, h, w) * double(batch);
      const Tensor image = noise({batch, h, w, 1}).to(Device::cuda);
      for (const auto& p : precisions()) {
        set_precision(net, precision(p));
        bench(
            name, gflop, 0, [&] { net(image); }, p);
        std::unique_ptr<Graph> graph;
        bench(
            name, gflop, 0,
            [&] {
              if (!graph) graph = std::make_unique<Graph>([&] { net(image); });
              graph->launch();
            },
            p, "recorded");
      }
      empty_cache(Device::cuda);
    }
}

inline void gpu_training(Bench& bench, const std::string& model) {
  using namespace ucn;
  constexpr int64_t h = 480, w = 640;
  const std::string name = cat("training step, a pair of ", h, "x", w);
  if (!bench.wanted(name)) return;
  const OnePair source(h, w);
  for (const auto& p : precisions()) {
    TrainOptions options;
    options.model = {.model = model, .image_statistics = true};
    options.loss.num_hn_samples = 40000;
    options.mining_warmup = 0;
    options.precision = p;
    options.lr = 1e-6;  // noise matches noise: nothing is to be learnt
    Trainer trainer(options, source, Device::cuda);
    bench(
        name, 6 * forward_gflop(options.model, h, w), 0, [&] { trainer.step(); }, p);
  }
}

inline void gpu_matcher(Bench& bench) {
  using namespace ucn;
  const auto features = [](uint64_t seed) {
    Random random(seed);
    return kernels::l2_normalize(random_normal({480, 640, 64}, random).to(Device::cuda), 1e-8);
  };
  const Tensor f0 = features(1), f1 = features(2);
  const Tensor points = grid_keypoints(480, 640, {.max_keypoints = 2000});
  const double pixels = 480 * 640, starts = double(points.dim(0));
  Random random(0);
  const auto row = [&](const char* mode, double pairs) {
    MatcherOptions options;
    options.mode = match_mode(mode);
    bench(
        cat("match 480x640, 64 features, mode ", mode), 2e-9 * 64 * pairs, 0,
        [&] { match(f0, f1, points, points, options, random); }, "fp32", "eager", 1);
  };
  row("keypoints", 2 * starts * starts);
  row("all", 2 * starts * pixels);
  row("all_all", 2 * pixels * pixels);
}

inline void gpu_rows(Bench& bench, const std::string& model) {
  gpu_limits(bench);
  gpu_operations(bench);
  gpu_network(bench, model);
  gpu_training(bench, model);
  cuda::set_math(cuda::Math::fp32);
  gpu_matcher(bench);
}

}  // namespace cairn

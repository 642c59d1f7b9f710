// bench: how fast this machine runs the kernels, the network, the training step and the matcher.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "bin/program.h"
#include "tensor/file.h"
#include "tensor/kernels/batch_norm/batch_norm.h"
#include "tensor/kernels/conv2d/conv2d.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/parallel.h"
#include "tensor/simd.h"
#include "ucn/keypoints.h"
#include "ucn/matcher.h"
#include "ucn/photo.h"
#include "ucn/trainer.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string json, only;
  std::string model = "ResUNetBN2F";
  int threads = 0, repeat = 5;
  bool layers = false;
};

struct Row {
  std::string name;
  double seconds, gflop, gbyte;  // of one run; 0: not meant
};

/// Runs what is asked for, prints a row for each, and keeps them.
class Bench {
 public:
  explicit Bench(const Arguments& a) : a_(a) {
    std::printf("%-46s %10s %10s %8s\n", "", "median", "GFLOP/s", "GB/s");
  }
  /// The median of `repeat` runs, after one that is not counted.
  template <class F>
  void operator()(const std::string& name, double gflop, double gbyte, F&& run) {
    if (name.find(a_.only) == std::string::npos) return;
    std::vector<double> times;
    for (int i = 0; i <= a_.repeat; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run();
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      if (i > 0) times.push_back(time.count());
    }
    std::ranges::sort(times);
    const double median = times[times.size() / 2];
    rows_.push_back({name, median, gflop, gbyte});
    std::printf("%-46s %8.2f ms", name.c_str(), 1e3 * median);
    if (gflop > 0)
      std::printf(" %10.1f", gflop / median);
    else
      std::printf(" %10s", "");
    if (gbyte > 0) std::printf(" %8.1f", gbyte / median);
    std::printf("\n");
    std::fflush(stdout);
  }
  const std::vector<Row>& rows() const { return rows_; }

 private:
  const Arguments& a_;
  std::vector<Row> rows_;
};

/// Values in [-0.5, 0.5) without the cost of good random numbers.
Tensor noise(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  uint32_t state = 1;
  for (float& v : t.span<float>()) {
    state = state * 1664525 + 1013904223;  // Numerical Recipes' linear congruence
    v = float(state >> 8) * 0x1p-24f - 0.5f;
  }
  return t;
}

void operations(Bench& bench) {
  const Conv2dGeometry same{{1, 1}, {1, 1}, {1, 1}};
  struct Layer {
    int64_t h, w, in, out;
  };
  for (const auto& [h, w, in, out] : {Layer{480, 640, 1, 16},
                                      {480, 640, 16, 16},
                                      {240, 320, 32, 32},
                                      {120, 160, 64, 64},
                                      {60, 80, 128, 128},
                                      {480, 640, 128, 128}}) {
    const Tensor x = noise({1, h, w, in}), weight = noise({out, 3, 3, in});
    const Tensor dy = noise({1, h, w, out});
    const double gflop = 2e-9 * double(h * w * in * out) * 9;
    const std::string layer = cat("conv2d 3x3 ", in, "->", out, " at ", h, "x", w);
    bench(layer, gflop, 0, [&] { kernels::conv2d(x, weight, same); });
    if (in > 1)
      bench(layer + ", data gradient", gflop, 0,
            [&] { kernels::conv2d_data_grad(dy, weight, same, x.shape()); });
    bench(layer + ", weight gradient", gflop, 0,
          [&] { kernels::conv2d_weight_grad(x, dy, same, weight.shape()); });
  }
  const Tensor a = noise({1024, 1024}), b = noise({1024, 1024});
  bench("matmul 1024x1024x1024", 2.147, 0, [&] { kernels::matmul(a, b); });
  const Tensor x = noise({1, 480, 640, 16}), y = noise({1, 480, 640, 16});
  const Tensor one = Tensor::full({16}, 1), zero = Tensor::zeros({16});
  const double gbyte = 1e-9 * double(x.nbytes());
  bench("add 480x640x16", 0, 3 * gbyte, [&] { kernels::add(x, y); });
  bench("relu 480x640x16", 0, 2 * gbyte, [&] { kernels::relu(x); });
  bench("batch norm + relu 480x640x16", 0, 2 * gbyte,
        [&] { kernels::batch_norm(x, one, zero, zero, one, {}, true); });
  bench("batch moments 480x640x16", 0, gbyte, [&] { kernels::batch_moments(x); });
  const Tensor queries = noise({2000, 64}), database = noise({480 * 640, 64});
  bench("nearest 2000 x 307200 x 64", 2e-9 * 2000 * 307200 * 64, 0,
        [&] { kernels::nearest(queries, database); });
}

double forward_gflop(const ResUNetConfig& config, int64_t h, int64_t w) {
  double gflop = 0;
  Random random(0);
  ResUNet network(config, random);
  const auto before = set_op_observer([&](const OpEvent& e) {
    const std::string op = e.op;
    if (op != "conv2d" && op != "conv_transpose2d") return;
    const Tensor &x = e.inputs[0], &weight = e.inputs[1];
    const double pixels =
        op == "conv2d" ? double(e.value.numel() / e.value.dim(3)) : double(x.numel() / x.dim(3));
    gflop += 2e-9 * pixels * double(weight.numel());
  });
  extract_features(network, Tensor::zeros({h, w, config.inputs}, DType::u8));
  set_op_observer(before);
  return gflop;
}

/// The same two views at every step, so that only the step is measured.
class OnePair : public PairSource {
 public:
  explicit OnePair(int64_t side) {
    const int64_t k = 2048;
    Random random(2);
    pair_ = {noise({side, side, 1}),
             noise({side, side, 1}),
             random_uniform({k, 2}, random, 0, double(side - 1), DType::f64),
             {},
             "noise"};
    pair_.positions1 = pair_.positions0;
  }
  int64_t size() const override { return 1; }
  Pair get(int64_t, Random&) const override { return pair_; }
  std::string description() const override { return "noise"; }

 private:
  Pair pair_;
};

void network(Bench& bench, const Arguments& a) {
  const ResUNetConfig config{.model = a.model};
  Random random(0);
  ResUNet net(config, random);
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{240, 320}, {480, 640}}) {
    const Tensor photo = Tensor::full({h, w, 1}, 100, DType::u8);
    bench(cat(a.model, " forward at ", h, "x", w), forward_gflop(config, h, w), 0,
          [&] { extract_features(net, photo); });
  }
  for (int64_t side : {128, 256}) {
    TrainOptions options;
    options.model = config;
    options.mining_warmup = 0;
    options.loader_threads = 0;
    const OnePair source(side);
    Trainer trainer(options, source);
    bench(cat(a.model, " training step, a pair of ", side, "x", side),
          2 * 3 * forward_gflop(config, side, side), 0, [&] { trainer.step(); });
  }
}

void matcher(Bench& bench) {
  const auto features = [](uint64_t seed) {
    Random random(seed);
    return kernels::affine(random_normal({480, 640, 64}, random), 0.125, 0);
  };
  const Tensor f0 = features(1), f1 = features(2);
  const Tensor points = grid_keypoints(480, 640, {.max_keypoints = 2000});
  Random random(0);
  for (const char* mode : {"keypoints", "all"}) {
    MatcherOptions options;
    options.mode = match_mode(mode);
    bench(cat("match 480x640, 2000 keypoints, mode ", mode), 0, 0,
          [&] { match(f0, f1, points, points, options, random); });
  }
  const Tensor image = noise({480, 640, 1});
  bench("corners 480x640", 0, 0, [&] { detect_corners(image); });
}

int run(const Arguments& a) {
  require(a.repeat >= 1, ErrorId::usage, "bench", "--repeat must be at least 1");
  if (a.threads > 0) set_num_threads(a.threads);
  if (a.layers) {
    Random random(0);
    ResUNet net({.model = a.model}, random);
    std::fputs(nn::summary(net, {1, 480, 640, 1}).c_str(), stdout);
    return done;
  }
  std::printf("%s, %d threads\n", simd_target().c_str(), num_threads());
  Bench bench(a);
  operations(bench);
  network(bench, a);
  matcher(bench);
  require(!bench.rows().empty(), ErrorId::usage, "bench", "no benchmark's name holds '", a.only,
          "'");
  if (a.json.empty()) return done;
  nlohmann::ordered_json j = {{"simd", simd_target()}, {"threads", num_threads()}};
  for (const Row& r : bench.rows())
    j["rows"].push_back({{"name", r.name},
                         {"median_seconds", r.seconds},
                         {"gflop_per_second", r.gflop / r.seconds},
                         {"gbyte_per_second", r.gbyte / r.seconds}});
  write_file_atomically(a.json, j.dump(2) + "\n", "bench");
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures operations, network, training step and matcher.", "bench");
  Arguments a;
  const auto options = [&] {
    app.option_defaults()->always_capture_default();
    app.add_option("--only", a.only, "only benchmarks whose name holds this text");
    app.add_option("--model", a.model, "the network");
    app.add_flag("--layers", a.layers, "print the network's layers at 480x640 instead");
    app.add_option("--repeat", a.repeat, "runs, of which the median counts");
    app.add_option("--threads", a.threads, "0: all cores");
    app.add_option("--json", a.json, "also write the figures to this file");
  };
  return run_program(app, argc, argv, options, [&] { return run(a); });
}

// bench: how fast this machine runs the kernels, the network, the training step and the matcher.
#include <nlohmann/json.hpp>

#include "bin/bench.h"
#include "bin/gpu_rows.h"
#include "tensor/cuda/cublaslt.h"
#include "tensor/cuda/cudnn.h"
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
#include "ucn/score_head.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string json, only;
  std::string model = "ResUNetBN2F";
  int repeat = 5;
  bool layers = false, machine_only = false;
  Machine machine;
};

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

void network(Bench& bench, const Arguments& a) {
  const ResUNetConfig config{.model = a.model};
  Random random(0);
  ResUNet net(config, random);
  FeatureExtractor extract(net);
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{240, 320}, {480, 640}}) {
    const Tensor photo = Tensor::full({h, w, 1}, 100, DType::u8);
    bench(cat(a.model, " forward at ", h, "x", w), forward_gflop(config, h, w), 0,
          [&] { extract(photo); });
  }
  // As matching sees the features.
  const auto few = with_fewest_outputs({nn::export_state(net), describe(config)}, "bench");
  const int64_t outputs = config_from(few.metadata, "bench").outputs;
  ScoreHead head(outputs, random);
  const Tensor features = noise({480, 640, outputs});
  bench("score head at 480x640", 2e-9 * 480 * 640 * (double(outputs) * 8 + 8 * 9 * 8 + 16) / 4, 0,
        [&] { score_map(head, features); });
  for (int64_t side : {128, 256}) {
    TrainOptions options;
    options.model = config;
    options.mining_warmup = 0;
    options.loader_threads = 0;
    const OnePair source(side, side);
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

/// What this build and this machine have, for `make doctor`.
void describe_machine() {
  std::string targets;
  for (const auto& t : simd_targets()) targets += t + " ";
  std::printf("SIMD      %s(in use: %s)\n", targets.c_str(), simd_target().c_str());
  std::printf("CUDA      %s\n", cuda::build_description().c_str());
  if (cuda::build_description() == "built without CUDA") return;
  std::printf("cuDNN     %s\ncuBLASLt  %s\n", cuda::cudnn_status().c_str(),
              cuda::cublaslt_status().c_str());
  std::printf("GPU       %s\n", cuda::unavailable().empty()
                                    ? cuda::device_name().c_str()
                                    : ("none to use: " + cuda::unavailable()).c_str());
}

int run(Arguments& a) {
  require(a.repeat >= 1, ErrorId::usage, "bench", "--repeat must be at least 1");
  if (a.machine_only) {
    if (a.machine.device != "auto" && a.machine.device != "cpu") a.machine.use();  // or say why not
    describe_machine();
    return done;
  }
  const Device device = a.machine.use();
  if (a.layers) {
    Random random(0);
    ResUNet net({.model = a.model}, random);
    std::fputs(nn::summary(net, {1, 480, 640, 1}).c_str(), stdout);
    return done;
  }
  const std::string where = device == Device::cuda
                                ? cuda::device_name()
                                : cat(simd_target(), ", ", num_threads(), " threads");
  std::printf("%s\n", where.c_str());
  Bench bench(device, a.only, a.repeat);
  if (device == Device::cuda) {
    gpu_rows(bench, a.model);
  } else {
    operations(bench);
    network(bench, a);
    matcher(bench);
  }
  require(!bench.rows().empty(), ErrorId::usage, "bench", "no benchmark's name holds '", a.only,
          "'");
  if (a.json.empty()) return done;
  nlohmann::ordered_json j = {{"device", where}, {"model", a.model}};
  for (const Row& r : bench.rows()) {
    nlohmann::ordered_json row = {{"name", r.name}, {"precision", r.precision}, {"mode", r.mode}};
    row["seconds"] = r.seconds > 0 ? nlohmann::ordered_json(r.seconds) : nullptr;
    row["gflop_per_second"] = r.seconds > 0 ? r.gflop / r.seconds : 0;
    row["gbyte_per_second"] = r.seconds > 0 ? r.gbyte / r.seconds : 0;
    row["peak_bytes"] = r.peak_bytes;
    row["note"] = r.note;
    j["rows"].push_back(row);
  }
  write_file_atomically(a.json, j.dump(2) + "\n", "bench");
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures operations, network, training step and matcher.", "bench");
  app.footer(
      "bench\tthis machine's kernels and networks\n"
      "bench --only conv2d --repeat 20 --json figures.json\tsome of it, for a program");
  Arguments a;
  a.machine.device = "cpu";
  const auto options = [&] {
    app.option_defaults()->always_capture_default();
    app.option_defaults()->group("Measuring");
    app.add_option("--only", a.only, "only benchmarks whose name holds this text");
    app.add_option("--model", a.model, "the network");
    app.add_option("--repeat", a.repeat, "runs, of which the median counts");
    app.add_option("--json", a.json, "also write the figures to this file")->type_name("FILE");
    a.machine.add_options(app, "Measuring");
    app.option_defaults()->group("Instead");
    app.add_flag("--layers", a.layers, "print the network's layers at 480x640");
    app.add_flag("--machine", a.machine_only, "print what this build and this machine have");
  };
  return run_program(app, argc, argv, options, [&] { return run(a); });
}

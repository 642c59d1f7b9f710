// The whole pipeline on the GPU: network, losses, training, matcher.
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"
#include "tests/cuda/gpu.h"
#include "tests/ucn/tiny_training.h"
#include "ucn/loss.h"
#include "ucn/matcher.h"
#include "ucn/photo.h"
#include "ucn/precision.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {

/// With running statistics the norms are folded into the convolutions when features are extracted.
std::unique_ptr<ResUNet> network(Device device, DType type = DType::f32, bool running = false) {
  Random random(3);
  auto net =
      std::make_unique<ResUNet>(ResUNetConfig{.outputs = 8, .image_statistics = !running}, random);
  net->to(type);
  net->to(device);
  return net;
}

Tensor photo(int64_t h, int64_t w, uint64_t seed) {
  Random random(seed);
  Tensor t = Tensor::empty({h, w, 1}, DType::u8);
  for (uint8_t& v : t.span<uint8_t>()) v = uint8_t(random.below(256));
  return t;
}

/// The output and all gradients of a training pass.
std::vector<Tensor> training_pass(Device device, DType type) {
  const auto net = network(device, type);
  const Var x(normal({2, 9, 13, 1}, type, 1).to(device), true);
  const Var y = (*net)(x);
  y.backward(normal(y.shape(), type, 2).to(device));
  std::vector<Tensor> all{here(y.value()), here(x.grad())};
  for (const auto& p : net->parameters()) all.push_back(here(p.var.grad()));
  for (const auto& s : net->state()) all.push_back(here(s.tensor));
  return all;
}

/// For views of 16 x 16 pixels: the emulation is slow.
TrainOptions tiniest() {
  TrainOptions o = tiny(16);
  o.mining_warmup = 0;
  o.iterations = 6;
  return o;
}

}  // namespace

TEST_CASE("gpu network: a training pass in double agrees with the CPU's in every gradient") {
  const OwnKernels own;
  const auto cpu = training_pass(Device::cpu, DType::f64);
  const auto gpu = training_pass(Device::cuda, DType::f64);
  REQUIRE(cpu.size() == gpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) CHECK(difference(gpu[i], cpu[i], true) <= 1e-10);
}

TEST_CASE("gpu features: those of the CPU; recorded from the second photo of a size on") {
  const auto cpu = network(Device::cpu), gpu = network(Device::cuda);
  FeatureExtractor extract(*gpu);
  for (uint64_t seed : {1, 2, 3, 4}) {
    const Tensor pixels = photo(seed == 3 ? 11 : 9, 12, seed);
    const Tensor f = extract(pixels);
    CHECK(f.on_gpu());
    CHECK(difference(here(f), extract_features(*cpu, pixels)) <= 1e-4);
    CHECK(same_bits(here(f), here(extract_features(*gpu, pixels))));
  }
}

TEST_CASE("gpu features: with norms folded into convolutions, in every precision") {
  const auto cpu = network(Device::cpu, DType::f32, true),
             gpu = network(Device::cuda, DType::f32, true);
  const Tensor pixels = photo(9, 12, 1), expected = extract_features(*cpu, pixels);
  CHECK(difference(here(extract_features(*gpu, pixels)), expected) <= 1e-4);
  set_precision(*gpu, Precision::bf16);
  const Tensor f = extract_features(*gpu, pixels);
  CHECK(f.dtype() == DType::f32);
  CHECK(kernels::sum(kernels::square(kernels::sub(here(f), expected))).item() <=
        0.01 * double(f.numel() / f.dim(-1)));
  set_precision(*gpu, Precision::fp32);
}

TEST_CASE("gpu precision: bf16 features are near; the CPU refuses what it cannot do") {
  const auto cpu = network(Device::cpu), gpu = network(Device::cuda);
  const Tensor pixels = photo(9, 12, 1);
  set_precision(*gpu, Precision::bf16);
  const Tensor f = extract_features(*gpu, pixels);
  CHECK(f.dtype() == DType::f32);
  const Tensor distance =
      kernels::sum(kernels::square(kernels::sub(here(f), extract_features(*cpu, pixels))));
  const double mean = distance.item() / double(f.numel() / f.dim(-1));  // of unit features
  CHECK(mean <= 0.01);
  CHECK(mean > 1e-6);
  set_precision(*gpu, Precision::fp32);
  CHECK(difference(here(extract_features(*gpu, pixels)), extract_features(*cpu, pixels)) <= 1e-4);
  CHECK(error_of(ErrorId::usage, [&] { set_precision(*cpu, Precision::bf16); }) ==
        "precision: bf16 is for the GPU; the CPU computes in fp32");
}

TEST_CASE("gpu losses: value and gradients, all losses, floored and not, reference masks") {
  for (int mode = 0; mode < 12; ++mode) {
    CAPTURE(mode);
    LossOptions o{.num_pos = 15, .num_hn_samples = 40, .radius = 2};
    o.floor_positions = mode & 1;
    o.reference_masks = mode & 2;
    Random random(4);
    std::vector<TrueMatches> matches;
    std::vector<LossDraws> draws;
    const Shape shape{2, 7, 9, 5};
    for (int b = 0; b < 2; ++b) {
      matches.push_back({random_uniform({20, 2}, random, 0, 6, DType::f64),
                         random_uniform({20, 2}, random, 0, 6, DType::f64)});
      draws.push_back(draw_for_loss(20, shape, shape, o, random));
    }
    std::vector<Tensor> results[2];
    for (Device device : {Device::cpu, Device::cuda}) {
      const Var x0(normal(shape, DType::f64, 5).to(device), true),
          x1(normal(shape, DType::f64, 6).to(device), true);
      const Var f0 = l2_normalize(x0), f1 = l2_normalize(x1);
      const LossTerms terms = mode & 8   ? info_nce(f0, f1, matches, draws, o)
                              : mode & 4 ? contrastive(f0, f1, matches, draws, o)
                                         : hardest_contrastive(f0, f1, matches, draws, o);
      terms.total(o).backward();
      results[int(device)] = {here(terms.positive.value()), here(terms.negative.value()),
                              here(x0.grad()), here(x1.grad())};
    }
    for (size_t i = 0; i < 4; ++i) CHECK(difference(results[1][i], results[0][i]) <= 1e-10);
  }
}

TEST_CASE("gpu losses: an empty set costs nothing, or is NaN with the reference's masks") {
  for (bool reference : {false, true}) {
    LossOptions o{.num_pos = 4, .num_hn_samples = 8, .radius = 100};  // nothing is far enough
    o.reference_masks = reference;
    Random random(4);
    const Shape shape{1, 4, 4, 3};
    const TrueMatches m{random_uniform({4, 2}, random, 0, 3, DType::f64),
                        random_uniform({4, 2}, random, 0, 3, DType::f64)};
    const LossDraws d = draw_for_loss(4, shape, shape, o, random);
    const Var f(there(normal(shape, DType::f32, 1)));
    const double negative =
        hardest_contrastive(f, f, std::span(&m, 1), std::span(&d, 1), o).negative.item();
    CHECK(std::isnan(negative) == reference);
    if (!reference) CHECK(negative == 0);
  }
}

TEST_CASE("gpu training: a step reports what it does on the CPU, in bf16 nearly") {
  const Folder folder;
  TrainOptions other = tiniest();
  other.seed = 9;
  Trainer(other, source<16>()).save(folder.path);
  const std::string teacher = folder / "weights.safetensors";
  for (const char* loss : {"hardest", "contrastive", "infonce", "distill"}) {
    TrainOptions o = tiniest();
    o.loss_name = loss;
    if (o.loss_name == "distill") o.teacher = teacher;
    o.batch = 2;
    o.iterations = 1;
    Trainer cpu(o, source<16>()), gpu(o, source<16>(), Device::cuda);
    const StepReport a = cpu.step(), b = gpu.step();
    CHECK(b.loss == doctest::Approx(a.loss).epsilon(1e-4));
    CHECK(b.grad_norm == doctest::Approx(a.grad_norm).epsilon(1e-3));
    o.precision = "bf16";
    Trainer rounded(o, source<16>(), Device::cuda);
    CHECK(rounded.step().loss == doctest::Approx(a.loss).epsilon(0.05));
    for (const auto& p : rounded.network().parameters()) CHECK(p.var.dtype() == DType::f32);
  }
}

TEST_CASE("gpu training: a step is a function of settings and number; a resumed run continues") {
  const Folder folder;
  TrainOptions o = tiniest();
  o.precision = "tf32";
  Trainer whole(o, source<16>(), Device::cuda), first(o, source<16>(), Device::cuda);
  for (int k = 0; k < 3; ++k) whole.step();
  first.step();
  first.save(folder.path);
  Trainer second(o, source<16>(), Device::cuda);
  CHECK(second.resume(folder.path).found);
  while (second.iteration() < 3) second.step();
  CHECK(same(second, whole));
}

TEST_CASE("gpu training: a loss that is not finite is named, and changes no parameter") {
  TrainOptions o = tiniest();
  Trainer trainer(o, source<16>(), Device::cuda);
  trainer.step();
  Tensor weight = trainer.network().state()[0].tensor;
  weight.assign_(Tensor::full(weight.shape(), NAN));
  const Tensor other = here(trainer.network().parameters()[5].var.value());
  CHECK(has(error_of(ErrorId::nan, [&] { trainer.step(); }), "train: step 2 of seed 0: conv2d:"));
  CHECK(same_bits(here(trainer.network().parameters()[5].var.value()), other));
}

TEST_CASE(
    "gpu matcher: the matches of the CPU in every mode, with and without the stability test") {
  const auto features = [](uint64_t seed) {
    return kernels::affine(normal({12, 17, 16}, DType::f32, seed), 0.25, 0);
  };
  const Tensor f0 = features(1), f1 = features(2);
  Tensor keypoints = Tensor::empty({30, 2}, DType::i64);
  Random random(3);
  for (int64_t k = 0; k < 30; ++k) {
    keypoints.data<int64_t>()[2 * k] = random.below(17);
    keypoints.data<int64_t>()[2 * k + 1] = random.below(12);
  }
  for (const char* mode : {"keypoints", "all", "all_all"})
    for (bool stability : {false, true}) {
      MatcherOptions o{.mode = match_mode(mode), .stability = stability, .ratio = 0.95};
      Random r0(7), r1(7);
      const auto cpu = match(f0, f1, keypoints, keypoints, o, r0);
      const auto gpu = match(there(f0), there(f1), keypoints, keypoints, o, r1);
      REQUIRE(cpu.matches.size() == gpu.matches.size());
      CHECK(cpu.kept == gpu.kept);
      CHECK(cpu.after_ratio == gpu.after_ratio);
      for (size_t i = 0; i < cpu.matches.size(); ++i) {
        const Match &a = cpu.matches[i], &b = gpu.matches[i];
        CHECK(std::tie(a.x0, a.y0, a.x1, a.y1, a.kept) == std::tie(b.x0, b.y0, b.x1, b.y1, b.kept));
        CHECK(a.score == b.score);
      }
    }
}

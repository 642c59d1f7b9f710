// train: from a folder of photos to the weights of a feature network.
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>

#include "bin/program.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "ucn/run_log.h"
#include "ucn/trainer.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

volatile std::sig_atomic_t interrupted = 0;

struct Arguments {
  std::string out;
  std::string device = "cpu";
  int threads = 0;
  bool color = false, resume = false;
  TrainOptions train;
};

void add_options(CLI::App& app, Arguments& a) {
  TrainOptions& t = a.train;
  app.option_defaults()->always_capture_default();
  app.add_option("--images", t.images, "folder of photos (searched with its subfolders)")
      ->group("Run");
  app.add_option("--out", a.out, "folder of the run: weights, checkpoints, log")
      ->required()
      ->group("Run");
  app.add_flag("--resume", a.resume, "continue what is in --out")->group("Run");
  app.add_option("--iterations", t.iterations, "optimiser steps")->group("Run");
  app.add_option("--seed", t.seed, "of everything random")->group("Run");
  app.add_option("--checkpoint-every", t.checkpoint_every, "steps between checkpoints")
      ->group("Run");
  app.add_option("--log-every", t.log_every, "steps between lines of the log")->group("Run");
  app.add_option("--device", a.device, "cpu or cuda")->group("Run");
  app.add_option("--threads", a.threads, "0: all cores")->group("Run");
  app.add_option("--loader-threads", t.loader_threads, "make pairs ahead")->group("Run");
  app.add_flag("--anomaly", t.anomaly, "check every value for NaN (slow)")->group("Run");

  app.add_option("--model", t.model.model, "ResUNetBN2, ...B, C, D, D2, D3, E, F, G, G2, G3, H")
      ->group("Network");
  app.add_option("--outputs", t.model.outputs, "feature channels")->group("Network");
  app.add_flag("--color", a.color, "three input channels, not one")->group("Network");
  app.add_option("--bn-momentum", t.model.bn_momentum, "of the stem's norms")->group("Network");

  app.add_option("--crop", t.crop, "views are CROP x CROP pixels")->group("Data");
  app.add_option("--batch", t.batch, "pairs in one pass")->group("Data");
  app.add_option("--iter-size", t.iter_size, "passes added up to one step")->group("Data");
  app.add_option("--correspondences", t.correspondences, "drawn in each pair")->group("Data");
  app.add_option("--difficulty", t.difficulty, "of the warps; 0: none")->group("Data");

  app.add_option("--loss", t.loss_name, "hardest or contrastive")->group("Loss");
  app.add_option("--num-pos", t.loss.num_pos, "correspondences with mined negatives")
      ->group("Loss");
  app.add_option("--num-hn-samples", t.loss.num_hn_samples, "pixels searched for negatives")
      ->group("Loss");
  app.add_option("--mining-warmup", t.mining_warmup, "steps over which that number grows from 64")
      ->group("Loss");
  app.add_option("--pos-thresh", t.loss.pos_thresh, "squared distance")->group("Loss");
  app.add_option("--neg-thresh", t.loss.neg_thresh, "squared distance")->group("Loss");
  app.add_option("--neg-weight", t.loss.neg_weight)->group("Loss");
  app.add_option("--radius", t.loss.radius, "px: nearer is no negative")->group("Loss");
  app.add_flag("--reference-masks", t.loss.reference_masks, "Open-UCN's swapped masks")
      ->group("Loss");
  app.add_flag("--floor-positions", t.loss.floor_positions, "Open-UCN's whole pixels")
      ->group("Loss");

  app.add_option("--optimizer", t.optimizer, "adamw, adam or sgd")->group("Optimiser");
  app.add_option("--lr", t.lr, "learning rate")->group("Optimiser");
  app.add_option("--schedule", t.schedule, "cosine, exponential or constant")->group("Optimiser");
  app.add_option("--warmup", t.warmup, "steps of a rising rate (cosine)")->group("Optimiser");
  app.add_option("--exp-gamma", t.exp_gamma, "per 2000 steps (exponential)")->group("Optimiser");
  app.add_option("--momentum", t.momentum, "of sgd")->group("Optimiser");
  app.add_option("--weight-decay", t.weight_decay)->group("Optimiser");
  app.add_option("--clip", t.clip, "largest gradient norm; 0: none")->group("Optimiser");
}

std::string duration(double seconds) {
  const auto s = int64_t(std::lround(seconds));
  char text[32];
  std::snprintf(text, sizeof text, s < 3600 ? "%lld:%02lld" : "%lldh%02lld",
                static_cast<long long>(s < 3600 ? s / 60 : s / 3600),
                static_cast<long long>(s < 3600 ? s % 60 : s / 60 % 60));
  return text;
}

/// Means since the last line, and how they are shown.
class Progress {
 public:
  explicit Progress(const TrainOptions& o) : o_(o) {}

  void add(const StepReport& r) {
    ++count_;
    sum_.loss += r.loss;
    sum_.positive += r.positive;
    sum_.negative += r.negative;
    sum_.grad_norm += r.grad_norm;
    sum_.data_seconds += r.data_seconds;
    sum_.step_seconds += r.step_seconds;
    last_ = r;
  }
  /// Writes a log line and starts anew.
  void flush(RunLog& log, const HitRatios& hits) {
    const double n = double(count_);
    hits_ = hits;
    log.write(last_.iteration, {{"loss", sum_.loss / n},
                                {"positive", sum_.positive / n},
                                {"negative", sum_.negative / n},
                                {"lr", last_.lr},
                                {"grad_norm", sum_.grad_norm / n},
                                {"hit_ratio", hits.hit},
                                {"reciprocity_ratio", hits.reciprocity},
                                {"reciprocity_hit_ratio", hits.reciprocity_hit},
                                {"data_seconds", sum_.data_seconds / n},
                                {"step_seconds", sum_.step_seconds / n}});
    show(true);
    sum_ = {};
    count_ = 0;
  }
  void show(bool whole_line) {
    const bool terminal = isatty(STDOUT_FILENO);
    if (count_ == 0 || (!terminal && !whole_line)) return;
    const double n = double(count_);
    const double left = sum_.step_seconds / n * double(o_.iterations - last_.iteration);
    std::printf(
        "%s%6lld/%lld  loss %.4f (pos %.4f neg %.4f)  hit %.3f  lr %.2e  %.3f s/step "
        "(data %.0f%%)  left %s%s",
        terminal ? "\r" : "", static_cast<long long>(last_.iteration),
        static_cast<long long>(o_.iterations), sum_.loss / n, sum_.positive / n, sum_.negative / n,
        hits_.hit, last_.lr, sum_.step_seconds / n,
        100 * sum_.data_seconds / std::max(1e-9, sum_.step_seconds), duration(left).c_str(),
        whole_line ? "   \n" : "   ");
    std::fflush(stdout);
  }

 private:
  const TrainOptions& o_;
  StepReport sum_, last_;
  HitRatios hits_;
  int64_t count_ = 0;
};

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  require(!error && std::filesystem::is_directory(path), ErrorId::io, "train",
          "cannot make the folder ", path, ": ", error ? error.message() : "a file is in the way");
}

int train(Arguments& a) {
  TrainOptions& o = a.train;
  require(a.device == "cpu" || a.device == "cuda", ErrorId::usage, "train", "no device '", a.device,
          "'; there is cpu, cuda");
  if (a.device == "cuda") Tensor::empty({1}, DType::f32, Device::cuda);  // says why not
  if (a.threads > 0) set_num_threads(a.threads);
  o.model.inputs = a.color ? 3 : 1;
  require(!o.images.empty(), ErrorId::usage, "train", "--images is required");
  check(o);
  make_folder(a.out);
  require(a.resume || !has_checkpoint(a.out), ErrorId::usage, "train", a.out,
          " holds a training run. Hint: continue it with --resume, or choose another --out");

  HomographyPairsOptions pairs;
  pairs.views.height = pairs.views.width = o.crop;
  pairs.views.difficulty = o.difficulty;
  pairs.channels = int(o.model.inputs);
  pairs.correspondences = o.correspondences;
  const HomographyPairs source(o.images, pairs);
  size_t named = 0;
  const auto name_broken = [&] {  // photos are read as they are needed
    for (const auto broken = source.broken(); named < broken.size(); ++named)
      std::fprintf(stderr, "train: skipped %s (%zu so far)\n", broken[named].message.c_str(),
                   named + 1);
  };

  Trainer trainer(o, source);
  if (a.resume) {
    const auto resumed = trainer.resume(a.out);
    for (const auto& line : resumed.damaged)
      std::fprintf(stderr, "train: damaged: %s\n", line.c_str());
    if (resumed.found)
      std::printf("Resuming after step %lld.\n", static_cast<long long>(trainer.iteration()));
    else
      std::printf("No usable checkpoint in %s: starting anew.\n", a.out.c_str());
  }
  write_file_atomically(a.out + "/config.json", to_json(o), "train");
  RunLog log(a.out + "/log.jsonl", trainer.iteration());
  std::printf("%s, %lld parameters, %lld outputs; %s; %d threads.\n", o.model.model.c_str(),
              static_cast<long long>(trainer.network().parameter_count()),
              static_cast<long long>(o.model.outputs), source.description().c_str(), num_threads());

  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  // Watched, never trained on: the same few pairs for the whole run.
  std::vector<Pair> watched;
  for (uint64_t k = 0; k < 2; ++k) {
    Random random(o.seed, ~k);
    watched.push_back(source.get(random.below(source.size()), random));
  }
  Progress progress(o);
  while (!trainer.done() && !interrupted) {
    const StepReport r = trainer.step();
    progress.add(r);
    progress.show(false);
    name_broken();
    if (r.iteration % o.log_every == 0 || trainer.done()) {
      HitRatios mean;
      for (const Pair& pair : watched) {
        const HitRatios h = trainer.evaluate(pair);
        mean.hit += h.hit / double(watched.size());
        mean.reciprocity += h.reciprocity / double(watched.size());
        mean.reciprocity_hit += h.reciprocity_hit / double(watched.size());
      }
      progress.flush(log, mean);
    }
    if (r.iteration % o.checkpoint_every == 0 && !trainer.done()) trainer.save(a.out);
  }
  trainer.save(a.out);
  if (interrupted)
    std::printf("\nInterrupted after step %lld; everything is saved. --resume continues.\n",
                static_cast<long long>(trainer.iteration()));
  std::printf("Weights: %s/weights.safetensors\n", a.out.c_str());
  return done;
}

/// With --resume the settings of the run are the defaults. CLI11 needs them before it parses.
void take_settings_of_run(int argc, char** argv, Arguments& a) {
  bool resume = false;
  std::string out;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--resume") resume = true;
    if (arg == "--out" && i + 1 < argc) out = argv[i + 1];
    if (arg.starts_with("--out=")) out = arg.substr(6);
  }
  const std::string path = out + "/config.json";
  if (!resume || !std::filesystem::exists(path)) return;
  const auto bytes = read_file(path, 1 << 20, "train");
  a.train = train_options_from_json(std::string(bytes.begin(), bytes.end()), path);
  a.color = a.train.model.inputs == 3;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a dense feature network on pairs of views warped from photos.", "train");
  Arguments arguments;
  const auto options = [&] {
    take_settings_of_run(argc, argv, arguments);
    add_options(app, arguments);
  };
  return run_program(app, argc, argv, options, [&] { return train(arguments); });
}

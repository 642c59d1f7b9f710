// train: from photos, or reconstructions, to the weights of a feature network.
#include <csignal>
#include <filesystem>
#include <optional>
#include <set>

#include "bin/data_options.h"
#include "bin/program.h"
#include "bin/train_progress.h"
#include "nn/pth.h"
#include "tensor/file.h"
#include "ucn/memory_limit.h"
#include "ucn/reference_checkpoint.h"
#include "ucn/run_folder.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

volatile std::sig_atomic_t interrupted = 0;

struct Arguments {
  std::string on_disk_full = "stop";
  std::string out, preset, config, checkpoint;  ///< checkpoint: one of Open-UCN's, to go on from
  Machine machine;
  double limit_memory = 0;
  bool memory = false;
  std::optional<TrainOptions> own;  ///< the settings of the run that is continued
  nn::TensorFile taken, initial;    ///< what --resume FILE and --init name
  bool color = false, running_statistics = false, resume = false;
  TrainOptions train;
};

void add_options(CLI::App& app, Arguments& a) {
  TrainOptions& t = a.train;
  app.option_defaults()->always_capture_default();
  app.option_defaults()->group("Run");
  add_source_options(app, t);
  app.add_option("--out,--out-dir", a.out, "folder of the run: weights, checkpoints, log")
      ->required()
      ->type_name("RUN");
  app.add_option("--resume", a.checkpoint, "continue what is in RUN, or Open-UCN's checkpoint FILE")
      ->expected(0, 1)
      ->type_name("[FILE]");
  app.add_option("--init,--weights", t.init, "begin with these weights (and their network)")
      ->type_name("FILE");
  app.add_option("--preset", a.preset, "reference: the settings of Open-UCN");
  app.add_option("--config", a.config, "settings in JSON, as RUN/config.json has them")
      ->type_name("FILE");
  app.add_option("--train-max-iter", t.train_max_iter, "steps of an epoch (exponential)");
  app.add_option("--iterations,--max-iter", t.iterations, "optimiser steps");
  app.add_option("--seed", t.seed, "of everything random")->check(not_negative());
  app.add_option("--checkpoint-every", t.checkpoint_every, "steps between checkpoints");
  app.add_option("--log-every,--stat-freq", t.log_every, "steps between lines of the log");
  app.add_option("--on-disk-full", a.on_disk_full, "stop, or continue and try again later")
      ->check(CLI::IsMember({"stop", "continue"}));
  // What the reference says in another way; not in the help.
  app.add_option("--use-color", a.color)->group("");
  app.add_option("--normalize-feature", t.model.normalize)->group("");
  app.add_option_function<bool>("--use-ratio-test", [&](bool on) { t.yfcc_ratio = on ? 0.75 : 1; })
      ->group("");
  app.add_option_function<std::string>("--scheduler",
                                       [&](const auto&) { t.schedule = "exponential"; })
      ->check(CLI::IsMember({"ExpLR"}))
      ->group("");
  const std::pair<const char*, int64_t*> in_epochs[] = {{"--max-epoch", &t.iterations},
                                                        {"--save-freq-epoch", &t.checkpoint_every},
                                                        {"--val-epoch-freq", &t.val_every}};
  for (const auto& [name, steps] : in_epochs)
    app.add_option_function<int64_t>(
           name, [to = steps, &t](const int64_t& n) { *to = n * t.train_max_iter; })
        ->check(number("from 1 to 1e9", [](double v) { return v >= 1 && v <= 1e9; }))
        ->group("");

  app.option_defaults()->group("Machine");
  a.machine.add_options(app, "Machine");
  t.precision = "auto";
  app.add_option("--precision", t.precision, "fp32, tf32 or bf16; auto: tf32 on a GPU, else fp32");
  app.add_option("--loader-threads,--train-num-workers", t.loader_threads,
                 "make pairs ahead; 0: none");
  app.add_option("--limit-memory", a.limit_memory, "MB of a step (not of photos); 0: no limit")
      ->check(number("from 0 to 1e9", [](double v) { return v >= 0 && v <= 1e9; }));
  app.add_flag("--memory", a.memory, "print what each layer takes of it");
  app.add_flag("--recompute", t.recompute, "activations, in the backward pass: less memory");
  app.add_flag("--anomaly", t.anomaly, "check every value for NaN (slow)");

  app.option_defaults()->group("Network");
  app.add_option("--model", t.model.model, "ResUNetBN2, ...B, C, D, D2, D3, E to H; ResUNetSlim");
  app.add_option("--outputs,--model-n-out", t.model.outputs, "feature channels");
  app.add_flag("--color", a.color, "three input channels, not one");
  app.add_option("--bn-momentum", t.model.bn_momentum, "of the stem's norms");
  app.add_flag("--running-statistics", a.running_statistics,
               "weights that match by running moments (Open-UCN), not the photo's own");

  app.option_defaults()->group("Data");
  add_pair_options(app, t);
  app.add_option("--held-out", t.held_out, "share of the scenes to watch, not to train on");
  app.add_option("--val-every", t.val_every, "steps between validations on these");
  app.add_option("--val-max-iter", t.val_max_iter, "pairs of these, at most");
  app.add_option("--batch,--batch-size", t.batch, "pairs in one pass");
  app.add_option("--iter-size", t.iter_size, "passes added up to one step");

  app.option_defaults()->group("Loss");
  app.add_option("--loss", t.loss_name,
                 "hardest, contrastive, infonce, distill; score: a head alone");
  app.add_option("--teacher", t.teacher, "distill: weights whose features are learned")
      ->type_name("FILE");
  app.add_option("--temperature", t.loss.temperature, "of infonce");
  app.add_flag("!--no-batch-negatives", t.loss.batch_negatives,
               "infonce: none from the batch's other images");
  app.add_option("--num-pos,--num-pos-per-batch", t.loss.num_pos,
                 "correspondences with mined negatives");
  app.add_option("--num-hn-samples,--num-hn-samples-per-batch", t.loss.num_hn_samples,
                 "pixels searched for negatives");
  app.add_option("--mining-warmup", t.mining_warmup, "steps over which that number grows from 64");
  app.add_option("--pos-thresh", t.loss.pos_thresh, "squared distance");
  app.add_option("--neg-thresh", t.loss.neg_thresh, "squared distance (contrastive: distance)");
  app.add_option("--neg-weight", t.loss.neg_weight, "of the negatives in the sum");
  app.add_option("--radius,--ucn-inlier-threshold-pixel", t.loss.radius,
                 "px: nearer is no negative");
  app.add_flag("--reference-masks", t.loss.reference_masks, "Open-UCN's swapped masks");
  app.add_flag("--floor-positions", t.loss.floor_positions, "Open-UCN's whole pixels");

  app.option_defaults()->group("Optimiser");
  app.add_option("--optimizer", t.optimizer, "adamw, adam or sgd")
      ->transform([](const std::string& name) { return CLI::detail::to_lower(name); });
  app.add_option("--lr", t.lr, "learning rate");
  app.add_option("--schedule", t.schedule, "cosine, exponential or constant");
  app.add_option("--warmup", t.warmup, "steps of a rising rate (cosine)");
  app.add_option("--exp-gamma", t.exp_gamma, "per epoch (exponential)");
  app.add_option("--momentum", t.momentum, "of sgd");
  app.add_option("--weight-decay", t.weight_decay, "of every parameter");
  app.add_option("--ema", t.ema, "share kept of the averaged weights at each step; 0: none");
  app.add_option("--clip", t.clip, "largest gradient norm; 0: no limit");
}

/// Flags that cannot both be obeyed, and why.
void refuse_contradictions(const CLI::App& app) {
  const struct {
    const char *one, *other, *why;
  } contradictions[] = {
      {"--resume", "--preset", "the run has settings"},
      {"--resume", "--config", "the run has settings"},
      {"--resume", "--init", "the run has weights"},
      {"--iterations", "--max-epoch", "both say how long"},
      {"--checkpoint-every", "--save-freq-epoch", "both say how often"},
      {"--val-every", "--val-epoch-freq", "both say how often"},
      {"--init", "--model", "the weights are for one network"},
      {"--init", "--outputs", "the weights are for one network"},
      {"--init", "--color", "the weights are for one network"},
  };
  for (const auto& [one, other, why] : contradictions)
    require(app.count(one) == 0 || app.count(other) == 0, ErrorId::usage, "train", one, " and ",
            other, " contradict each other: ", why);
}

std::string text_of(const std::string& path) {
  const auto bytes = read_file(path, 1 << 20, "train");
  return {bytes.begin(), bytes.end()};
}

/// What is not said on the command line: the settings of the run that is continued; else those of
/// --preset, of the checkpoint that is taken up, of --config, each over the ones before.
TrainOptions settings_below(Arguments& a) {
  TrainOptions o;
  const std::string own = a.out + "/config.json";
  std::error_code ignored;
  if (a.resume && a.checkpoint.empty() && std::filesystem::exists(own, ignored)) {
    a.own = train_options_from_json(text_of(own), own);
    return *a.own;
  }
  if (!a.preset.empty()) o = preset(a.preset);
  if (!a.checkpoint.empty()) {
    a.taken = nn::load_pth(a.checkpoint);
    o = settings_of(a.taken, a.checkpoint, preset("reference"));
  }
  o.precision = "auto";
  if (!a.config.empty()) o = train_options_from_json(text_of(a.config), a.config, o);
  if (const std::string init = a.train.init.empty() ? o.init : a.train.init; !init.empty()) {
    a.initial = read_weights(init);
    take_network(o, a.initial.metadata, init);
  }
  return o;
}

int train(Arguments& a) {
  TrainOptions& o = a.train;
  const Device device = a.machine.use();
  if (o.precision == "auto") o.precision = device == Device::cuda ? "tf32" : "fp32";
  o.model.inputs = a.color ? 3 : 1;
  o.model.image_statistics = !a.running_statistics;
  const bool own_run = a.resume && a.checkpoint.empty();
  require(!o.images.empty() || !o.colmap.empty() || !o.yfcc_raw.empty(), ErrorId::usage, "train",
          own_run ? cat("'", a.out, "' holds no run to continue; a new one needs --images")
                  : "--images, --colmap or --yfcc-raw is required");
  check(o);
  require(a.resume || o.loss_name != "score" || !o.init.empty(), ErrorId::usage, "train",
          "--loss score needs weights to judge. Hint: --init FILE");
  std::error_code ignored;
  const bool has_weights = std::filesystem::exists(a.out + "/weights.safetensors", ignored);
  if (!own_run && (has_checkpoint(a.out) || has_weights))
    throw Error(ErrorId::usage, "train", cat("'", a.out, "' holds a training run"),
                "continue it with --resume, or choose another --out");
  require(!own_run || !has_weights || has_checkpoint(a.out), ErrorId::usage, "train", "'", a.out,
          "' holds weights, but no checkpoint to continue from");

  const TrainingData data = open_training_data(o);
  const PairSource& source = *data.train;
  std::set<std::string> named;
  const auto name_broken = [&] {  // photos are read as they are needed
    for (const PairSource* s : {data.train.get(), data.held_out.get()})
      for (const BrokenPhoto& broken : s ? s->broken() : std::vector<BrokenPhoto>())
        if (named.insert(broken.path).second)
          warn(cat("skipped ", broken.message, " (", named.size(), " so far)"));
  };

  if (a.limit_memory > 0 && a.own) {  // as it was found to fit when the run began
    o.batch = a.own->batch;
    o.iter_size = a.own->iter_size;
    o.recompute = a.own->recompute;
  } else if (a.limit_memory > 0) {
    const TrainOptions asked = o;
    o = fit_memory(o, source, device, int64_t(a.limit_memory * 1e6));
    if (o.batch != asked.batch || o.recompute != asked.recompute)
      std::printf("To stay within %g MB: %lld passes of %lld pairs a step%s.\n", a.limit_memory,
                  static_cast<long long>(o.iter_size), static_cast<long long>(o.batch),
                  o.recompute ? ", activations recomputed" : "");
  }
  if (a.memory) std::fputs(to_text(memory_of_step(o, source, device)).c_str(), stdout);

  const RunFolder folder(a.out);
  Trainer trainer(o, source, device);
  if (!a.checkpoint.empty()) {
    trainer.take_up(a.taken, a.checkpoint);
    std::printf("Going on from %s after step %lld.\n", a.checkpoint.c_str(),
                static_cast<long long>(trainer.iteration()));
  }
  bool begun = !a.checkpoint.empty();
  if (own_run) {
    const auto resumed = trainer.resume(a.out);
    for (const auto& line : resumed.damaged) warn("not used: " + line);
    begun = resumed.found;
    if (begun)
      std::printf("Resuming after step %lld.\n", static_cast<long long>(trainer.iteration()));
    else
      std::printf("No checkpoint in %s yet: starting anew.\n", a.out.c_str());
  }
  if (!begun && !o.init.empty())
    trainer.begin_with(a.initial.tensors.empty() ? read_weights(o.init) : a.initial, o.init);
  write_file_atomically(a.out + "/config.json", to_json(o), "train");
  if (!a.checkpoint.empty()) trainer.save(a.out);  // from now on it is a run of ours
  std::printf("%s, %lld parameters, %lld outputs; %s; on %s.\n", o.model.model.c_str(),
              static_cast<long long>(trainer.network().parameter_count()),
              static_cast<long long>(o.model.outputs), source.description().c_str(),
              describe(device, o.precision).c_str());

  const auto on_signal = [](int signal) {
    interrupted = 1;
    std::signal(signal, SIG_DFL);  // a second one does not wait
  };
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  if (std::signal(SIGHUP, on_signal) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup
  Progress progress(o);
  TrainingEvents events;
  events.step = [&](const StepReport& r) {
    progress.add(r);
    name_broken();
  };
  events.line = [&](const StepReport& m, const Evaluation& hits) { progress.line(m, hits); };
  events.validated = [&](const HitRatios& h, bool best) {
    std::printf("%8lld  held out: hit %.3f, reciprocity %.3f, both %.3f%s\n",
                static_cast<long long>(trainer.iteration()), h.hit, h.reciprocity,
                h.reciprocity_hit, best ? "  (the best so far)" : "");
  };
  events.not_written = [&](const Error& e) {
    if (a.on_disk_full == "stop") return false;
    warn(cat("step ", trainer.iteration(), ": ", e.what(), "; the run goes on"));
    return true;
  };
  events.stop = [] { return interrupted != 0; };
  run_training(o, trainer, data, a.out, events);
  if (interrupted)
    std::printf("\nInterrupted after step %lld; everything is saved. --resume continues.\n",
                static_cast<long long>(trainer.iteration()));
  progress.summarize();
  std::printf("Weights: %s/weights.safetensors\nCurves: %s/curves.svg\n", a.out.c_str(),
              a.out.c_str());
  if (trainer.best_hit_ratio() >= 0)
    std::printf("Best: %s/best.safetensors, hit ratio %.3f on held-out scenes\n", a.out.c_str(),
                trainer.best_hit_ratio());
  if (!interrupted)
    std::printf(
        "\nFor a model card: %s, %lld outputs, %lld steps of %lld pairs of %lld x %lld px in %s "
        "on %s; loss %s, %s at %g, seed %llu; %s.\n",
        o.model.model.c_str(), (long long)o.model.outputs, (long long)trainer.iteration(),
        (long long)(o.batch * o.iter_size), (long long)o.crop, (long long)o.crop,
        duration(progress.seconds()).c_str(), describe(device, o.precision).c_str(),
        o.loss_name.c_str(), o.optimizer.c_str(), o.lr, (unsigned long long)o.seed,
        source.description().c_str());
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a dense feature network on pairs of photos, or of views warped from one.",
               "train");
  app.footer(
      "train --images photos --out run\tCtrl-C saves and stops\n"
      "train --resume --out run\tcontinues, bit for bit\n"
      "train --images photos --colmap scene/sparse --photos scene/images --out run\tboth at once\n"
      "match a.jpg b.jpg --model run/weights.safetensors\tuses the result");
  Arguments arguments;
  return run_program(
      app, argc, argv, [&] { add_options(app, arguments); },
      [&] {
        Arguments& a = arguments;
        a.resume = app.count("--resume") > 0;
        refuse_contradictions(app);
        a.train = settings_below(a);
        TrainOptions said = a.train;  // before flags lie over what is wrong in a file
        if (said.precision == "auto") said.precision = "fp32";
        check(said);
        a.color = a.train.model.inputs == 3;
        a.running_statistics = !a.train.model.image_statistics;
        app.parse(argc, argv);  // once more, over these
        return train(a);
      });
}

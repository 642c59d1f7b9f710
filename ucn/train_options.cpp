#include "ucn/train_options.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace cairn::ucn {
namespace {

using json = nlohmann::ordered_json;

/// The one list of settings: calls f(key, member, decides) for each; `decides` is false for those
/// that may change when a run is resumed.
template <class Options, class F>
void each_setting(Options& o, F&& f) {
  f("images", o.images, true);
  f("model", o.model.model, true);
  f("inputs", o.model.inputs, true);
  f("outputs", o.model.outputs, true);
  f("bn_momentum", o.model.bn_momentum, true);
  f("loss", o.loss_name, true);
  f("pos_thresh", o.loss.pos_thresh, true);
  f("neg_thresh", o.loss.neg_thresh, true);
  f("neg_weight", o.loss.neg_weight, true);
  f("num_pos", o.loss.num_pos, true);
  f("num_hn_samples", o.loss.num_hn_samples, true);
  f("radius", o.loss.radius, true);
  f("reference_masks", o.loss.reference_masks, true);
  f("floor_positions", o.loss.floor_positions, true);
  f("mining_warmup", o.mining_warmup, true);
  f("iterations", o.iterations, false);
  f("seed", o.seed, true);
  f("batch", o.batch, true);
  f("iter_size", o.iter_size, true);
  f("crop", o.crop, true);
  f("correspondences", o.correspondences, true);
  f("difficulty", o.difficulty, true);
  f("optimizer", o.optimizer, true);
  f("lr", o.lr, true);
  f("momentum", o.momentum, true);
  f("weight_decay", o.weight_decay, true);
  f("schedule", o.schedule, true);
  f("warmup", o.warmup, true);
  f("exp_gamma", o.exp_gamma, true);
  f("clip", o.clip, true);
  f("anomaly", o.anomaly, false);
  f("checkpoint_every", o.checkpoint_every, false);
  f("log_every", o.log_every, false);
  f("loader_threads", o.loader_threads, false);
}

}  // namespace

std::string to_json(const TrainOptions& options) {
  json j;
  each_setting(options, [&](const char* key, const auto& value, bool) { j[key] = value; });
  return j.dump(2) + "\n";
}

TrainOptions train_options_from_json(const std::string& text, const std::string& origin) {
  json j = json::parse(text, nullptr, false);
  require(j.is_object(), ErrorId::format, "train", origin, " is not a JSON object of settings");
  TrainOptions options;
  each_setting(options, [&](const char* key, auto& value, bool) {
    const auto it = j.find(key);
    if (it == j.end()) return;
    try {
      value = it->get<std::decay_t<decltype(value)>>();
    } catch (const json::exception&) {
      throw Error(ErrorId::format, "train",
                  cat(origin, ": ", key, " = ", it->dump(), " is not a value for it"));
    }
    j.erase(key);
  });
  require(j.empty(), ErrorId::format, "train", origin, ": unknown setting '",
          j.empty() ? "" : j.begin().key(), "'");
  return options;
}

void check(const TrainOptions& o) {
  const auto positive = [](const char* key, auto value) {
    require(value > 0 && std::isfinite(double(value)), ErrorId::usage, "train", key,
            " must be positive, not ", value);
  };
  positive("iterations", o.iterations);
  positive("batch", o.batch);
  positive("iter_size", o.iter_size);
  positive("num_pos", o.loss.num_pos);
  positive("num_hn_samples", o.loss.num_hn_samples);
  positive("correspondences", o.correspondences);
  positive("lr", o.lr);
  positive("checkpoint_every", o.checkpoint_every);
  positive("log_every", o.log_every);
  require(o.crop >= 16, ErrorId::usage, "train", "crop must be at least 16, not ", o.crop);
  require(o.model.inputs == 1 || o.model.inputs == 3, ErrorId::usage, "train",
          "a photo has 1 or 3 channels, not ", o.model.inputs);
  const auto one_of = [](const char* key, const std::string& value,
                         std::initializer_list<const char*> names) {
    std::string list;
    for (const char* n : names) {
      if (value == n) return;
      list += (list.empty() ? "" : ", ") + std::string(n);
    }
    throw Error(ErrorId::usage, "train", cat(key, " is '", value, "', not one of ", list));
  };
  one_of("loss", o.loss_name, {"hardest", "contrastive"});
  one_of("optimizer", o.optimizer, {"adamw", "adam", "sgd"});
  one_of("schedule", o.schedule, {"cosine", "exponential", "constant"});
  resunet_variant(o.model.model);
}

std::string difference(const TrainOptions& before, const TrainOptions& now) {
  json old_settings = json::parse(to_json(before)), found;
  std::string text;
  each_setting(now, [&](const char* key, const auto& value, bool decides) {
    const json was = old_settings[key], is = value;
    if (decides && text.empty() && was != is)
      text = cat(key, ": ", was.dump(), ", not ", is.dump());
  });
  return text;
}

}  // namespace cairn::ucn

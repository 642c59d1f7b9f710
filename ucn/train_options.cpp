#include "ucn/train_options.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace cairn::ucn {
namespace {

using json = nlohmann::ordered_json;

/// What a number may be.
struct Rule {
  bool (*ok)(double);
  const char* text;
};
constexpr Rule any{[](double) { return true; }, ""};
constexpr Rule positive{[](double v) { return v > 0 && std::isfinite(v); }, "positive"};
constexpr Rule not_negative{[](double v) { return v >= 0 && std::isfinite(v); }, "0 or more"};
constexpr Rule fraction{[](double v) { return v >= 0 && v <= 1; }, "from 0 to 1"};
constexpr Rule part{[](double v) { return v >= 0 && v < 1; }, "0 or more and below 1"};
constexpr Rule megabytes{[](double v) { return v >= 1 && v <= 1e9; }, "from 1 to 1e9"};
constexpr Rule up_to_2{[](double v) { return v >= 0 && v <= 2; }, "from 0 to 2"};
constexpr Rule degrees{[](double v) { return v >= 0 && v <= 360; }, "from 0 to 360"};
constexpr Rule few{[](double v) { return v >= 0 && v <= 256; }, "from 0 to 256"};
constexpr Rule count{[](double v) { return v >= 1 && v <= 65536; }, "from 1 to 65536"};
constexpr Rule channels{[](double v) { return v >= 1 && v <= 4096; }, "from 1 to 4096"};
constexpr Rule side{[](double v) { return v >= 16 && v <= 16384; }, "from 16 to 16384"};
constexpr Rule photo_channels{[](double v) { return v == 1 || v == 3; }, "1 or 3"};

/// Whether a setting must be the same when a run is resumed.
constexpr bool decides = true, may_change = false;

/// The one list of settings: calls f(key, member, rule, decides) for each.
template <class Options, class F>
void each_setting(Options& o, F&& f) {
  f("images", o.images, any, may_change);  // the folder may have moved
  f("colmap", o.colmap, any, may_change);
  f("photos", o.photos, any, may_change);
  f("depths", o.depths, any, may_change);
  f("yfcc_raw", o.yfcc_raw, any, may_change);
  f("yfcc_pairs", o.yfcc_pairs, any, may_change);
  f("obj_num_kp", o.obj_num_kp, positive, decides);
  f("yfcc_ratio", o.yfcc_ratio, fraction, decides);
  f("inlier_threshold_pixel", o.inlier_threshold_pixel, positive, decides);
  f("mix", o.mix, any, decides);
  f("min_shared", o.min_shared, positive, decides);
  f("angle", o.angle, any, decides);
  f("held_out", o.held_out, part, decides);
  f("val_max_iter", o.val_max_iter, positive, may_change);
  f("init", o.init, any, may_change);
  f("teacher", o.teacher, any, may_change);
  f("model", o.model.model, any, decides);
  f("inputs", o.model.inputs, photo_channels, decides);
  f("outputs", o.model.outputs, channels, decides);
  f("normalize", o.model.normalize, any, decides);
  f("bn_momentum", o.model.bn_momentum, fraction, decides);
  f("image_statistics", o.model.image_statistics, any, decides);
  f("loss", o.loss_name, any, decides);
  f("pos_thresh", o.loss.pos_thresh, not_negative, decides);
  f("neg_thresh", o.loss.neg_thresh, not_negative, decides);
  f("neg_weight", o.loss.neg_weight, not_negative, decides);
  f("num_pos", o.loss.num_pos, positive, decides);
  f("num_hn_samples", o.loss.num_hn_samples, positive, decides);
  f("radius", o.loss.radius, not_negative, decides);
  f("temperature", o.loss.temperature, positive, decides);
  f("batch_negatives", o.loss.batch_negatives, any, decides);
  f("reference_masks", o.loss.reference_masks, any, decides);
  f("floor_positions", o.loss.floor_positions, any, decides);
  f("mining_warmup", o.mining_warmup, not_negative, decides);
  f("iterations", o.iterations, positive, may_change);
  f("seed", o.seed, any, decides);
  f("batch", o.batch, count, decides);
  f("iter_size", o.iter_size, count, decides);
  f("crop", o.crop, side, decides);
  f("correspondences", o.correspondences, positive, decides);
  f("difficulty", o.difficulty, up_to_2, decides);
  f("rotation", o.rotation, degrees, decides);
  f("bend", o.bend, part, decides);
  f("photometric", o.photometric, up_to_2, decides);
  f("optimizer", o.optimizer, any, decides);
  f("lr", o.lr, positive, decides);
  f("momentum", o.momentum, fraction, decides);
  f("weight_decay", o.weight_decay, not_negative, decides);
  f("schedule", o.schedule, any, decides);
  f("warmup", o.warmup, not_negative, decides);
  f("train_max_iter", o.train_max_iter, positive, decides);
  f("exp_gamma", o.exp_gamma, fraction, decides);
  f("clip", o.clip, not_negative, decides);
  f("ema", o.ema, part, decides);
  f("precision", o.precision, any, decides);
  f("recompute", o.recompute, any, decides);  // the order in which passes are added
  f("anomaly", o.anomaly, any, may_change);
  f("checkpoint_every", o.checkpoint_every, positive, may_change);
  f("val_every", o.val_every, positive, may_change);
  f("log_every", o.log_every, positive, may_change);
  f("loader_threads", o.loader_threads, few, may_change);
  f("limit_cache", o.limit_cache, megabytes, may_change);
}

}  // namespace

std::string to_json(const TrainOptions& options) {
  json j;
  each_setting(options, [&](const char* key, const auto& value, Rule, bool) { j[key] = value; });
  return j.dump(2) + "\n";
}

TrainOptions train_options_from_json(const std::string& text, const std::string& origin,
                                     TrainOptions options) {
  json j = json::parse(text, nullptr, false);
  require(j.is_object(), ErrorId::format, "train", origin, " is not a JSON object of settings");
  each_setting(options, [&](const char* key, auto& value, Rule, bool) {
    const auto it = j.find(key);
    if (it == j.end()) return;
    // Read back, it must be what was written: 1.9 is no number of pairs.
    using Value = std::decay_t<decltype(value)>;
    bool same = !std::is_unsigned_v<Value> || it->is_number_unsigned() || it->is_boolean();
    try {
      value = it->get<Value>();
      same = same && json(value) == *it;
    } catch (const json::exception&) {
      same = false;
    }
    require(same, ErrorId::format, "train", origin, ": ", key, " = ", it->dump(),
            " is not a value for it");
    j.erase(key);
  });
  require(j.empty(), ErrorId::format, "train", origin, ": unknown setting '",
          j.empty() ? "" : j.begin().key(), "'");
  return options;
}

void check(const TrainOptions& o) {
  each_setting(o, [](const char* key, const auto& value, Rule rule, bool) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>)
      require(rule.ok(double(value)), ErrorId::usage, "train", key, " must be ", rule.text,
              ", not ", value);
  });
  const auto one_of = [](const char* key, const std::string& value,
                         const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& n : names) {
      if (value == n) return;
      list += (list.empty() ? "" : ", ") + n;
    }
    throw Error(ErrorId::usage, "train", cat(key, " is '", value, "', not one of ", list));
  };
  one_of("loss", o.loss_name, {"hardest", "contrastive", "infonce", "score", "distill"});
  require(
      o.loss_name != "score" || !o.loss.floor_positions, ErrorId::usage, "train",
      "floor_positions and loss = score contradict each other: the head is taught where matches "
      "truly are");
  require((o.loss_name == "distill") == !o.teacher.empty(), ErrorId::usage, "train",
          "loss = distill and a teacher, whose features are learned, go together");
  require(o.bend * o.difficulty < 1, ErrorId::usage, "train", "bend is ", o.bend, " at difficulty ",
          o.difficulty, ": their product must be below 1, or views would fold");
  one_of("optimizer", o.optimizer, {"adamw", "adam", "sgd"});
  one_of("precision", o.precision, {"fp32", "tf32", "bf16"});
  one_of("schedule", o.schedule, {"cosine", "exponential", "constant"});
  require(!o.recompute || o.precision != "bf16", ErrorId::usage, "train",
          "recompute: images in bf16 cannot be computed again. Hint: --precision tf32");
  require(!o.loss.reference_masks || o.loss_name == "hardest", ErrorId::usage, "train",
          "reference_masks and loss = ", o.loss_name,
          " contradict each other: only the hardest "
          "loss has masks");
  std::vector<std::string> models;
  for (const auto& v : resunet_variants()) models.push_back(v.name);
  one_of("model", o.model.model, models);
}

void take_network(TrainOptions& options, const Metadata& metadata, const std::string& origin) {
  const double momentum = options.model.bn_momentum;
  options.model = config_from(metadata, origin);
  options.model.bn_momentum = momentum;
}

TrainOptions preset(const std::string& name) {
  require(name == "reference", ErrorId::usage, "train", "there is no preset '", name,
          "', only reference");
  // config.py of Open-UCN: 100 epochs of 2000 iterations, whose photos are larger than the crop.
  return train_options_from_json(R"({
    "model": "ResUNetBN2D2", "outputs": 64, "bn_momentum": 0.05, "image_statistics": false,
    "loss": "hardest", "pos_thresh": 0.1, "neg_thresh": 1.4, "neg_weight": 1, "num_pos": 1024,
    "num_hn_samples": 40000, "radius": 4, "reference_masks": true, "floor_positions": true,
    "mining_warmup": 0, "correspondences": 4096, "crop": 480, "batch": 2, "iter_size": 1,
    "optimizer": "sgd", "lr": 0.1, "momentum": 0.8, "weight_decay": 1e-4, "schedule": "exponential",
    "exp_gamma": 0.99, "clip": 0, "iterations": 200000, "log_every": 40, "val_max_iter": 400,
    "val_every": 2000, "checkpoint_every": 2000
  })",
                                 "the preset");
}

std::string difference(const TrainOptions& before, const TrainOptions& now) {
  const json old_settings = json::parse(to_json(before));
  std::string text;
  each_setting(now, [&](const char* key, const auto& value, Rule, bool same) {
    const json was = old_settings[key], is = value;
    if (same && text.empty() && was != is) text = cat(key, ": ", was.dump(), ", not ", is.dump());
  });
  // Depth maps may have moved, but not appeared.
  const auto has_depths = [](const TrainOptions& o, size_t i) {
    return i < o.depths.size() && o.depths[i] != "-";
  };
  for (size_t i = 0; text.empty() && i < now.colmap.size(); ++i)
    if (has_depths(before, i) != has_depths(now, i))
      text = cat("depths of reconstruction ", i + 1, has_depths(now, i) ? ": none" : "", ", not ",
                 has_depths(now, i) ? "these" : "none");
  return text;
}

}  // namespace cairn::ucn

#include "ucn/reference_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "tensor/error.h"
#include "ucn/score_head.h"
#include "ucn/weights.h"

namespace cairn::ucn {
namespace {

const std::string* find(const nn::TensorFile& file, const std::string& key) {
  const auto it = file.metadata.find(key);
  return it == file.metadata.end() ? nullptr : &it->second;
}

template <class T>
std::optional<T> number(const nn::TensorFile& file, const std::string& key) {
  const std::string* text = find(file, key);
  T value{};
  if (!text) return {};
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return {};
  return value;
}

}  // namespace

ResUNetConfig recognise(const nn::TensorFile& file, const std::string& prefix,
                        const std::string& origin) {
  const auto extent = [&](const std::string& name, int64_t axis) {
    const Tensor* t = file.find(prefix + name + ".weight");
    require(t && t->rank() == 4, ErrorId::weights, "weights", origin, ": it has no convolution '",
            prefix, name, "', so it is not of a ResUNet");
    return t->dim(axis);
  };
  ResUNetConfig config;
  config.inputs = extent("conv1", 1);
  config.outputs = extent("final", 0);
  const auto fits = [&](const ResUNetVariant& v) {
    for (int64_t level = 0; level < 4; ++level)
      if (extent(cat("conv", level + 1), 0) != v.down[level]) return false;
    for (int64_t level = 1; level < 4; ++level)  // transposed weights are I x O x H x W
      if (extent(cat("conv", level + 1, "_tr"), 1) != v.up[level]) return false;
    return extent("conv1_tr", 0) == v.up[0] &&
           (file.find(prefix + "blocks1.1.conv1.weight") != nullptr) == (v.depth > 1);
  };
  const auto found = std::ranges::find_if(resunet_variants(), fits);
  require(found != resunet_variants().end(), ErrorId::weights, "weights", origin,
          ": its channels are those of no ResUNet that is known");
  config.model = found->name;
  return config;
}

nn::TensorFile weights_of(const nn::TensorFile& pth, const std::string& origin) {
  // The state dict lies where conv1 and final lie side by side.
  const std::string first = "conv1.weight";
  std::optional<std::string> prefix;
  std::set<std::string> names;
  for (const auto& t : pth.tensors) names.insert(t.name);
  for (const std::string& name : names) {
    if (!name.ends_with(first)) continue;
    const std::string before = name.substr(0, name.size() - first.size());
    if (names.contains(before + "final.weight")) prefix = before;
  }
  require(prefix.has_value(), ErrorId::weights, "weights", origin,
          ": it holds no weights of a ResUNet");
  nn::TensorFile weights;
  for (const auto& t : pth.tensors)
    if (t.name.starts_with(*prefix))
      weights.tensors.push_back({t.name.substr(prefix->size()), t.tensor});
  ResUNetConfig config = recognise(pth, *prefix, origin);
  if (const std::string* said = find(pth, "config.normalize_feature"))
    config.normalize = *said != "false";
  weights.metadata = describe(config);
  for (const auto& [key, value] : pth.metadata)
    if (key.starts_with("cairn.")) weights.metadata[key.substr(6)] = value;
  return weights;
}

nn::TensorFile to_reference(const nn::TensorFile& weights, const std::string& origin) {
  const ResUNetConfig config = config_from(weights.metadata, origin);
  nn::TensorFile pth{weights.tensors, {}};
  // Which the reference's networks do not have.
  std::erase_if(pth.tensors, [](const auto& t) { return t.name.starts_with(ScoreHead::prefix); });
  for (const auto& [key, value] : weights.metadata) pth.metadata["cairn." + key] = value;
  pth.metadata["cairn.score_head"] = "false";
  pth.metadata["config.model"] = config.model;
  pth.metadata["config.model_n_out"] = std::to_string(config.outputs);
  pth.metadata["config.normalize_feature"] = config.normalize ? "true" : "false";
  return pth;
}

ReferenceTraining training_of(const nn::TensorFile& pth, const std::vector<std::string>& parameters,
                              const std::string& origin) {
  ReferenceTraining t;
  constexpr int64_t most = 1000000;
  const auto epoch = number<int64_t>(pth, "epoch");
  require(epoch && *epoch >= 0 && *epoch <= most, ErrorId::weights, "resume", origin,
          ": it has no epoch, so it is no checkpoint of a training run");
  t.epoch = *epoch;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (const Tensor* m = pth.find(cat("optimizer.state.", i, ".momentum_buffer")))
      t.momentum.emplace(parameters[i], *m);
  t.last_epoch = number<int64_t>(pth, "scheduler.last_epoch");
  require(t.last_epoch.value_or(0) >= 0 && t.last_epoch.value_or(0) <= most, ErrorId::weights,
          "resume", origin, ": its scheduler is at epoch ", t.last_epoch.value_or(0));
  return t;
}

TrainOptions settings_of(const nn::TensorFile& pth, const std::string& origin, TrainOptions o) {
  const ResUNetConfig recognised = config_from(weights_of(pth, origin).metadata, origin);
  o.model.model = recognised.model;
  o.model.inputs = recognised.inputs;
  o.model.outputs = recognised.outputs;
  o.model.normalize = recognised.normalize;
  const std::pair<const char*, double*> numbers[] = {
      {"config.bn_momentum", &o.model.bn_momentum},
      {"config.pos_thresh", &o.loss.pos_thresh},
      {"config.neg_thresh", &o.loss.neg_thresh},
      {"config.neg_weight", &o.loss.neg_weight},
      {"config.ucn_inlier_threshold_pixel", &o.loss.radius},
      {"optimizer.param_groups.0.momentum", &o.momentum},
      {"optimizer.param_groups.0.weight_decay", &o.weight_decay},
      {"scheduler.base_lrs.0", &o.lr},
      {"scheduler.gamma", &o.exp_gamma},
  };
  const std::pair<const char*, int64_t*> counts[] = {
      {"config.num_pos_per_batch", &o.loss.num_pos},
      {"config.num_hn_samples_per_batch", &o.loss.num_hn_samples},
      {"config.batch_size", &o.batch},
      {"config.iter_size", &o.iter_size},
      {"config.train_max_iter", &o.train_max_iter},
      {"config.obj_num_kp", &o.obj_num_kp},
  };
  for (const auto& [key, to] : numbers) *to = number<double>(pth, key).value_or(*to);
  for (const auto& [key, to] : counts) *to = number<int64_t>(pth, key).value_or(*to);
  return o;
}

}  // namespace cairn::ucn

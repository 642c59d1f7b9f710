// What a trainer begins with, writes and takes up again.
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <iomanip>

#include "nn/safetensors.h"
#include "tensor/kernels/layout/layout.h"
#include "ucn/precision.h"
#include "ucn/reference_checkpoint.h"
#include "ucn/score_head.h"
#include "ucn/trainer.h"

namespace cairn::ucn {
namespace {

constexpr const char* checkpoint_format = "cairn-checkpoint-2";

std::array<std::string, 2> checkpoint_paths(const std::string& folder) {
  return {folder + "/checkpoint-a.safetensors", folder + "/checkpoint-b.safetensors"};
}

/// Of everything in a checkpoint but itself: a bit that flipped on the disk must not train on.
std::string checksum(const nn::TensorFile& file) {
  uLong crc = 0;
  const auto add = [&](const void* bytes, int64_t size) {
    crc = crc32_z(crc, static_cast<const Bytef*>(bytes), size_t(size));
  };
  for (const auto& [name, tensor] : file.tensors) {
    const std::string header = cat(name, " ", tensor.shape(), " ", tensor.dtype());
    add(header.data(), int64_t(header.size()));
    add(tensor.raw(), tensor.nbytes());
  }
  for (const auto& [key, value] : file.metadata) {
    const std::string entry = key == "crc32" ? "" : cat(key, "=", value, "\n");
    add(entry.data(), int64_t(entry.size()));
  }
  return std::to_string(crc);
}

/// The tensors of `all` whose name begins with prefix, without it.
std::vector<nn::NamedTensor> with_prefix(const std::vector<nn::NamedTensor>& all,
                                         const std::string& prefix) {
  std::vector<nn::NamedTensor> some;
  for (const auto& t : all)
    if (t.name.starts_with(prefix)) some.push_back({t.name.substr(prefix.size()), t.tensor});
  return some;
}

}  // namespace

void Trainer::save_network(const std::string& path, const Metadata& more) {
  Metadata metadata{
      {"iterations", std::to_string(iteration_)}, {"recipe", to_json(options_)}, {"data", data_}};
  metadata.insert(more.begin(), more.end());
  const Averaged averaged(*this);
  save_weights(path, *network_, metadata);
}

void Trainer::keep_best(const std::string& folder, const HitRatios& validation) {
  if (!(validation.hit > best_hit_ratio_)) return;
  save_network(folder + "/best.safetensors", {{"hit_ratio", cat(validation.hit)}});
  best_hit_ratio_ = validation.hit;
}

void Trainer::save(const std::string& folder) {
  nn::TensorFile file;
  for (const auto& t : nn::export_state(*network_))
    file.tensors.push_back({"model." + t.name, t.tensor});
  for (const auto& t : optimizer_->state())
    file.tensors.push_back({"optimizer." + t.name, t.tensor.to(Device::cpu)});
  for (const auto& t : averaged_)
    file.tensors.push_back({"averaged." + t.name, t.tensor.to(Device::cpu)});
  file.metadata = {{"format", checkpoint_format},
                   {"iteration", std::to_string(iteration_)},
                   {"best_hit_ratio", cat(std::setprecision(17), best_hit_ratio_)},
                   {"settings", to_json(options_)},
                   {"pairs", std::to_string(source_.size())}};
  if (teacher_) file.metadata["teacher"] = teacher_checksum_;
  file.metadata["crc32"] = checksum(file);
  nn::save_safetensors(checkpoint_paths(folder)[size_t(next_slot_)], file);
  next_slot_ = 1 - next_slot_;
  save_network(folder + "/weights.safetensors", {});
}

namespace {

struct Checkpoint {
  nn::TensorFile file;
  TrainOptions settings;
  int64_t iteration, pairs;
  double best_hit_ratio;
  int slot;
};

/// Reads a checkpoint and makes sure that it is whole.
Checkpoint read_checkpoint(const std::string& path, int slot) {
  Checkpoint c{nn::load_safetensors(path), {}, 0, 0, 0, slot};
  const auto metadata = [&](const char* key) {
    const auto it = c.file.metadata.find(key);
    require(it != c.file.metadata.end(), ErrorId::format, "checkpoint", path,
            ": the metadata lacks '", key, "'");
    return it->second;
  };
  require(metadata("format") == checkpoint_format, ErrorId::format, "checkpoint", path,
          " has another format, ", metadata("format"));
  require(metadata("crc32") == checksum(c.file), ErrorId::format, "checkpoint", path,
          ": the checksum does not fit");
  c.iteration = std::atoll(metadata("iteration").c_str());
  c.pairs = std::atoll(metadata("pairs").c_str());
  c.best_hit_ratio = std::atof(metadata("best_hit_ratio").c_str());
  c.settings = train_options_from_json(metadata("settings"), path);
  return c;
}

}  // namespace

Trainer::Resumed Trainer::resume(const std::string& folder) {
  Resumed result;
  std::optional<Checkpoint> newest;
  const auto paths = checkpoint_paths(folder);
  std::error_code ignored;
  for (int slot = 0; slot < 2; ++slot) {
    if (!std::filesystem::exists(paths[size_t(slot)], ignored)) continue;
    try {
      Checkpoint c = read_checkpoint(paths[size_t(slot)], slot);
      if (!newest || c.iteration > newest->iteration) newest = std::move(c);
    } catch (const Error& e) {
      result.damaged.push_back(e.what());
    }
  }
  if (!newest && result.damaged.empty()) return result;
  if (!newest) {
    std::string all;
    for (const auto& line : result.damaged) all += (all.empty() ? "" : "; ") + line;
    throw Error(ErrorId::format, "resume", "no checkpoint can be used: " + all,
                "to begin again, choose another --out or remove these files");
  }
  const std::string& path = paths[size_t(newest->slot)];
  const std::string changed = difference(newest->settings, options_);
  require(changed.empty(), ErrorId::usage, "resume", "the run was made with ", changed);
  require(newest->pairs == source_.size(), ErrorId::usage, "resume", "the run was made with ",
          newest->pairs, " photos or pairs, not ", source_.size());
  if (teacher_)  // its file may have moved, but not changed
    require(newest->file.metadata["teacher"] == teacher_checksum_, ErrorId::usage, "resume",
            "the run was made with another teacher than what '", options_.teacher, "' holds now");
  nn::import_state(*network_, with_prefix(newest->file.tensors, "model."), path);
  optimizer_->load_state(with_prefix(newest->file.tensors, "optimizer."));
  for (auto& t : averaged_) {
    const Tensor* mean = newest->file.find("averaged." + t.name);
    require(mean && mean->shape() == t.tensor.shape(), ErrorId::weights, "resume", path,
            " lacks the average of ", t.name);
    t.tensor.assign_(*mean);
  }
  best_hit_ratio_ = newest->best_hit_ratio;
  iteration_ = newest->iteration;
  next_slot_ = 1 - newest->slot;
  loader_.reset();
  next_.reset();
  next_error_ = nullptr;
  result.found = true;
  return result;
}

void Trainer::take_teacher() {
  const nn::TensorFile file = read_weights(options_.teacher);
  teacher_checksum_ = checksum(file);
  teacher_ = load_weights(file, options_.teacher).network;
  const ResUNetConfig &own = options_.model, &its = teacher_->config();
  require(own.inputs == its.inputs && own.outputs == its.outputs, ErrorId::usage, "train",
          "the teacher has ", its.inputs, " inputs and ", its.outputs, " outputs, the network ",
          own.inputs, " and ", own.outputs, ". Hint: --outputs ", its.outputs);
  require(own.normalize && its.normalize, ErrorId::usage, "train",
          "distillation is for features of unit length");
  const auto known = teacher_->state();
  for (nn::NamedTensor& t : network_->state()) {
    const auto like = std::ranges::find(known, t.name, &nn::NamedTensor::name);
    if (like != known.end() && like->tensor.shape() == t.tensor.shape())
      t.tensor.assign_(like->tensor);
  }
  teacher_->to(device_);
  set_precision(*teacher_, precision(options_.precision));
}

void Trainer::begin_with(const nn::TensorFile& weights, const std::string& origin) {
  // A head is judged with its features: other losses leave it behind, its own may begin without.
  std::vector<nn::NamedTensor> state = weights.tensors;
  const auto of_head = [](const nn::NamedTensor& t) {
    return t.name.starts_with(ScoreHead::prefix);
  };
  if (!network_->score_head())
    std::erase_if(state, of_head);
  else if (std::ranges::none_of(state, of_head))
    for (const auto& t : nn::export_state(*network_))
      if (of_head(t)) state.push_back(t);
  nn::import_state(*network_, state, origin);
  restart_average();
}

void Trainer::take_up(const nn::TensorFile& pth, const std::string& origin) {
  const auto parameters = network_->parameters();
  std::vector<std::string> names;
  for (const auto& p : parameters) names.push_back(p.name);
  const ReferenceTraining training = training_of(pth, names, origin);
  iteration_ = training.last_epoch.value_or(training.epoch) * options_.train_max_iter;
  nn::import_state(*network_, weights_of(pth, origin).tensors, origin);
  restart_average();
  std::vector<nn::NamedTensor> state;
  for (const auto& [name, var] : parameters) {
    const auto m = training.momentum.find(name);
    if (m == training.momentum.end()) continue;
    const Tensor own =
        m->second.rank() == 4 ? kernels::permute(m->second, {0, 2, 3, 1}) : m->second;
    state.push_back(
        {"step." + name, Tensor::full({}, double(std::max<int64_t>(1, iteration_)), DType::i64)});
    state.push_back({"momentum." + name, own.to(var.dtype())});
  }
  optimizer_->load_state(state);
}

bool has_checkpoint(const std::string& folder) {
  std::error_code ignored;
  for (const std::string& path : checkpoint_paths(folder))
    if (std::filesystem::exists(path, ignored)) return true;
  return false;
}

}  // namespace cairn::ucn

#include "ucn/run_log.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"
#include "ucn/event_file.h"

namespace cairn::ucn {
namespace {

/// TensorBoard's tags, the reference's where it has one.
constexpr std::pair<const char*, const char*> tags[] = {
    {"loss", "train/loss"},
    {"positive", "train/pos_loss"},
    {"negative", "train/neg_loss"},
    {"lr", "train/lr"},
    {"grad_norm", "train/grad_norm"},
    {"hit_ratio", "train/hit_ratio"},
    {"data_seconds", "train/data_time"},
    {"step_seconds", "train/train_time"},
    {"val_hit_ratio", "val/hit_ratio"},
    {"val_reciprocity_ratio", "val/reciprocity_ratio"},
    {"val_reciprocity_hit_ratio", "val/reciprocity_hit_ratio"},
};

std::ofstream opened(const std::string& path) {
  std::ofstream out(path, std::ios::app | std::ios::binary);
  require(out.good(), ErrorId::io, "train", "cannot write ", path, ": ", std::strerror(errno));
  return out;
}

double value_of(const LogLine& line, const char* key) {
  for (const auto& [name, value] : line.values)
    if (name == key) return value;
  return 0;
}

}  // namespace

RunLog::RunLog(const std::string& folder, int64_t iteration) : folder_(folder) {
  if (std::ifstream before(folder + "/log.jsonl"); before)
    for (std::string line; std::getline(before, line);) {
      const auto j = nlohmann::json::parse(line, nullptr, false);  // the last may be cut off
      if (!j.is_object() || !j.contains("iteration") || !j["iteration"].is_number_integer() ||
          j["iteration"].get<int64_t>() > iteration)
        continue;
      LogLine said{j["iteration"].get<int64_t>(), {}};
      for (const auto& [key, value] : j.items())
        if (key != "iteration" && value.is_number())
          said.values.emplace_back(key, value.get<double>());
      lines_.push_back(std::move(said));
      text_ += line + "\n";
    }
  rewrite();
}

void RunLog::rewrite() {
  const std::string path = folder_ + "/log.jsonl", events = folder_ + "/events.out.tfevents.cairn";
  out_ = {};
  events_ = {};
  write_file_atomically(path, text_, "train");
  write_file_atomically(events, event_file_header(lines_.empty() ? 0 : value_of(lines_[0], "time")),
                        "train");
  out_ = opened(path);
  events_ = opened(events);
  for (const LogLine& line : lines_) add_event(line);
  whole_ = true;
}

void RunLog::add_event(const LogLine& line) {
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : line.values)
    for (const auto& [name, tag] : tags)
      if (key == name) scalars.emplace_back(tag, value);
  events_ << event_record(value_of(line, "time"), line.iteration, scalars) << std::flush;
}

void RunLog::write(int64_t iteration, const std::vector<std::pair<std::string, double>>& values) {
  nlohmann::ordered_json j = {{"iteration", iteration}};
  for (const auto& [key, value] : values) j[key] = value;
  const std::string line = j.dump() + "\n";
  text_ += line;
  lines_.push_back({iteration, values});
  if (!whole_) return rewrite();
  out_ << line << std::flush;
  add_event(lines_.back());
  whole_ = out_.good() && events_.good();
  require(whole_, ErrorId::io, "train", "cannot write the log in ", folder_, ": ",
          std::strerror(errno));
}

void RunLog::draw() const {
  write_file_atomically(folder_ + "/curves.svg", draw_curves(lines_), "train");
}

}  // namespace cairn::ucn

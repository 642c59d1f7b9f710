#include "ucn/run_log.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace cairn::ucn {

RunLog::RunLog(const std::string& path, int64_t iteration) : path_(path) {
  std::string kept;
  if (std::ifstream before(path); before)
    for (std::string line; std::getline(before, line);) {
      const auto j = nlohmann::json::parse(line, nullptr, false);  // the last may be cut off
      if (j.is_object() && j.contains("iteration") && j["iteration"].is_number_integer() &&
          j["iteration"].get<int64_t>() <= iteration)
        kept += line + "\n";
    }
  write_file_atomically(path, kept, "train");
  out_.open(path, std::ios::app);
  require(out_.good(), ErrorId::io, "train", "cannot write ", path, ": ", std::strerror(errno));
}

void RunLog::write(int64_t iteration, const std::vector<std::pair<std::string, double>>& values) {
  nlohmann::ordered_json j = {{"iteration", iteration}};
  for (const auto& [key, value] : values) j[key] = value;
  out_ << j.dump() << std::endl;
  require(out_.good(), ErrorId::io, "train", "cannot write ", path_, ": ", std::strerror(errno));
}

}  // namespace cairn::ucn

// A training run's log: one JSON object per line.
#pragma once

#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace cairn::ucn {

class RunLog {
 public:
  /// Appends to `path`; lines about iterations after `iteration` are removed first, since a resumed
  /// run will write them again. Throws ErrorId::io.
  RunLog(const std::string& path, int64_t iteration);

  /// One line {"iteration": n, key: value, ...}. A value that is not finite is written as null.
  void write(int64_t iteration, const std::vector<std::pair<std::string, double>>& values);

 private:
  std::string path_;
  std::ofstream out_;
};

}  // namespace cairn::ucn

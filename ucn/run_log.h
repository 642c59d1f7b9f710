// A training run's log: one JSON object per line, the same for TensorBoard, and as curves.
#pragma once

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "ucn/curves.h"

namespace cairn::ucn {

class RunLog {
 public:
  /// Appends to log.jsonl in `folder`, and to events.out.tfevents.cairn beside it; lines about
  /// iterations after `iteration` are removed first, since a resumed run will write them again.
  /// Throws ErrorId::io.
  RunLog(const std::string& folder, int64_t iteration);

  /// One line {"iteration": n, key: value, ...}. A value that is not finite is written as null. The
  /// key "time" is in seconds since 1970.
  void write(int64_t iteration, const std::vector<std::pair<std::string, double>>& values);
  /// Draws curves.svg anew.
  void draw() const;

 private:
  void add_event(const LogLine& line);
  /// Both files anew, from memory.
  void rewrite();

  std::string folder_;
  std::ofstream out_, events_;
  std::vector<LogLine> lines_;
  std::string text_;    ///< of log.jsonl
  bool whole_ = false;  ///< the files have all that they should
};

}  // namespace cairn::ucn

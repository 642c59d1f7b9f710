// The curves of a training, as a picture.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cairn::ucn {

/// What a line of a log says.
struct LogLine {
  int64_t iteration;
  std::vector<std::pair<std::string, double>> values;
};

/// An SVG of all lines over the iterations, one panel for what is of one kind: losses, hit ratios,
/// learning rate, seconds, gradient norm. Values that are not finite are left out.
std::string draw_curves(const std::vector<LogLine>& lines);

}  // namespace cairn::ucn

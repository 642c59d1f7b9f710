// Everything that decides how photos are matched, by name: the flags of match and eval, and the
// settings of the C and C++ libraries, are this one table.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ucn/photo_matcher.h"
#include "ucn/weights.h"

namespace cairn::ucn {

/// Of the weights that come with Cairn, those that are used unless others are named.
constexpr const char* default_model = "ucn-slim";

struct MatcherSettings {
  std::string weights;  ///< a name of those that come with Cairn, or a file; empty: default_model
  std::string mode;     ///< empty: "all"
  std::string keypoints, precision = "fp32", verify = "fundamental";
  double ratio = 0;           ///< 0: as the mode wants it
  double threshold = 3;       ///< px of the files: how far an inlier may be
  std::vector<double> focal;  ///< px, of one or both photos; empty: 1.2 times the longer side
  bool one_way = false, whole_pixels = false, no_exif = false, no_align = false;
  PhotoMatcherOptions options;
  /// What the mode and the device decide is left open, until resolve().
  MatcherSettings() { options.correspond.coarse = options.correspond.support = -1; }

  /// Names into values. The defaults that depend on the mode were chosen on held-out warps
  /// (docs/measurements.md). Throws ErrorId::usage for settings that contradict each other.
  void resolve(Device device, const std::string& default_mode = "all");
  /// The network, on its device, with_fewest_outputs().
  Weights load(Device device) const;
  /// The file that `weights` means. Throws ErrorId::io when there is none.
  std::string weights_file() const;
  /// In words, for reports.
  std::string describe() const;
};

/// One of them, as the command line and the libraries know it.
struct Setting {
  const char *group, *name;  ///< "Filters", "--ratio"; "--model,--weights": two names for one
  const char* takes;         ///< "N", "X", "NAME"; empty: nothing, it is on or off
  const char* help;
  /// Takes a value; what is wrong with it ("must be positive, not -1"), or nothing. Of a switch,
  /// "true" or "false".
  std::function<std::string(MatcherSettings&, const std::string&)> set;
  std::function<std::string(const MatcherSettings&)> get;  ///< what help shows as the default
  std::vector<std::string> choices = {};                   ///< all values, where they are few
};
std::span<const Setting> matcher_settings();
/// By its name without dashes ("ratio"). Throws ErrorId::usage for an unknown name or a bad value.
void set(MatcherSettings& settings, const std::string& name, const std::string& value);

}  // namespace cairn::ucn

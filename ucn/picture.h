// Pictures of matches.
#pragma once

#include <string>
#include <vector>

#include "ucn/matcher.h"

namespace cairn::ucn {

enum class MatchStyle {
  points,  ///< a disc at either end, coloured by its place in image 0
  lines,   ///< a line between the ends, red (low score) to green
};
/// "points", "lines"; throws ErrorId::argument for another name.
MatchStyle match_style(const std::string& name);

/// Both images (H x W x 1|3 u8) darkened side by side with the kept matches, whose coordinates are
/// pixels of these images. Result max(H) x (W0 + 4 + W1) x 3 u8, four black columns between.
Tensor draw_matches(const Tensor& image0, const Tensor& image1, const std::vector<Match>& matches,
                    MatchStyle style);

}  // namespace cairn::ucn

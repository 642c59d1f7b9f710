// Matches that their neighbours confirm.
#pragma once

#include <span>
#include <vector>

#include "ucn/geometry/two_view.h"

namespace cairn::ucn {

struct LocalSupportOptions {
  int64_t least = 3;        ///< other matches that must agree, beside the two that make the map
  double radius = 0.15;     ///< of a neighbourhood, at least, in longer sides of the photo
  double tolerance = 0.01;  ///< how far from where the map takes it an end may be, likewise
  double apart = 0.01;      ///< neighbours that are nearer to each other count once, likewise
  int64_t neighbours = 24;  ///< at most so many, the nearest
};

/// Which of the matches have neighbours that move as they do: a match and two of its neighbours
/// make an affine map, and `least` others must follow it. What a surface shows moves so wherever it
/// is smooth, whatever the scene as a whole does, and wrong matches hardly ever do (local affine
/// consensus as in AdaLAM, L. Cavalli et al., ECCV 2020; here without scales and orientations of
/// keypoints). A neighbour is within the radius in one photo and within twice that in the other.
/// Maps that mirror, scale px by more than 3 or squeeze by more than 4 do not count. Where matches
/// are few the neighbourhoods are larger.
/// `extent0`, `extent1`: the photos' longer sides, px of the matches; smaller ones than 160 px
/// count as 160, for ends are not much more exact than a pixel. Swapping the photos gives the same.
std::vector<bool> locally_supported(std::span<const PointPair> matches, double extent0,
                                    double extent1, const LocalSupportOptions& options);

}  // namespace cairn::ucn

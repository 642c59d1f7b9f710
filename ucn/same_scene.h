// Do two photos show the same scene at all?
#pragma once

#include <span>

#include "ucn/geometry/two_view.h"

namespace cairn::ucn {

/// The probability, by logistic regression on the logarithm of how many matches obey a fundamental
/// matrix and on their share. It was fitted on photos of the same and of different places with the
/// first bundled weights and tried with the later ones (docs/measurements.md); with others it is a
/// score. `known`: the geometry of the matches; unless it is a fundamental matrix, one is
/// estimated.
double same_scene(std::span<const PointPair> matches, const TwoView& known,
                  const RansacOptions& options);

}  // namespace cairn::ucn

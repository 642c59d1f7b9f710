#include "ucn/same_scene.h"

#include <cmath>

namespace cairn::ucn {

double same_scene(std::span<const PointPair> matches, const TwoView& known,
                  const RansacOptions& options) {
  constexpr double constant = -12, per_log_inliers = 2.5, per_share = 4;
  if (matches.empty()) return 1 / (1 + std::exp(-constant));
  const int64_t inliers = known.kind == Geometry::fundamental
                              ? known.inliers
                              : estimate_geometry(Geometry::fundamental, matches, options).inliers;
  const double share = double(inliers) / double(matches.size());
  return 1 / (1 + std::exp(-(constant + per_log_inliers * std::log1p(double(inliers)) +
                             per_share * share)));
}

}  // namespace cairn::ucn

#include "ucn/same_scene.h"

#include <cmath>

namespace cairn::ucn {

double same_scene(std::span<const PointPair> matches, const TwoView& known,
                  const RansacOptions& options) {
  constexpr double constant = -23.269, per_log_inliers = 4.634, per_share = 33.201;
  if (matches.empty()) return 1 / (1 + std::exp(-constant));
  const int64_t inliers = known.kind == Geometry::fundamental
                              ? known.inliers
                              : estimate_geometry(Geometry::fundamental, matches, options).inliers;
  // A large share of a few says nothing: any eight matches obey some matrix.
  constexpr int64_t few = 20;
  const double share = inliers < few ? 0 : double(inliers) / double(matches.size());
  return 1 / (1 + std::exp(-(constant + per_log_inliers * std::log1p(double(inliers)) +
                             per_share * share)));
}

}  // namespace cairn::ucn

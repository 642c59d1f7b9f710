// Models from as few matches as determine them, and from many.
#pragma once

#include <Eigen/Core>
#include <span>
#include <vector>

#include "ucn/geometry/two_view.h"

namespace cairn::ucn::minimal {

/// A sample's size, and how many models one may have.
constexpr int sample_size(Geometry kind) {
  return kind == Geometry::homography ? 4 : kind == Geometry::fundamental ? 7 : 5;
}

/// Matches should be near (0, 0) and of size about 1. Models are of unit norm; a degenerate sample
/// gives none.
///
/// homography: 4 points, whose turning sense is the same on both sides.
/// fundamental: 7 points, up to 3 (Hartley and Zisserman, 11.1.2).
/// essential: 5 points, up to 10 (D. Nister, "An efficient solution to the five-point relative pose
/// problem", PAMI 2004).
std::vector<Eigen::Matrix3d> solve(Geometry kind, std::span<const PointPair> sample);

/// The homography or fundamental matrix of least algebraic error over at least 4 or 8 matches (the
/// direct linear transform).
Eigen::Matrix3d fit(Geometry kind, std::span<const PointPair> matches);

/// The real roots of sum_k c[k] z^k, of degree at most 10, increasing, by Sturm's theorem; those
/// where the sign does not change, and those beyond 1e4, are left out.
std::vector<double> real_roots(std::span<const double> c);

}  // namespace cairn::ucn::minimal

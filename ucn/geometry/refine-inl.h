// How far matches are from a model, and the model nearest to them.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <vector>

#include "ucn/geometry/two_view.h"

namespace cairn::ucn::refine {

/// The one equation of an epipolar model, e = x1' M x0, and the squared length of its gradient with
/// respect to the four coordinates.
struct Epipolar {
  double e, gradient2;
  Epipolar(const double* m, const PointPair& p) {
    const double a = m[0] * p.x0 + m[1] * p.y0 + m[2], b = m[3] * p.x0 + m[4] * p.y0 + m[5];
    const double u = m[0] * p.x1 + m[3] * p.y1 + m[6], v = m[1] * p.x1 + m[4] * p.y1 + m[7];
    e = p.x1 * a + p.y1 * b + m[6] * p.x0 + m[7] * p.y0 + m[8];
    gradient2 = a * a + b * b + u * u + v * v;
  }
};
/// Squared Sampson distances: e^2 / |de|^2.
inline double squared_epipolar(const double* m, const PointPair& p) {
  const Epipolar q(m, p);
  return q.e * q.e / q.gradient2;
}

/// The two equations of a homography, e = (u - x1 w, v - y1 w) with (u, v, w) = H x0, and their
/// covariance s = J J' for unit noise in all four coordinates.
struct Transfer {
  double w, e0, e1, s00, s01, s11;
  Transfer(const double* h, const PointPair& p) {
    w = h[6] * p.x0 + h[7] * p.y0 + h[8];
    e0 = h[0] * p.x0 + h[1] * p.y0 + h[2] - p.x1 * w;
    e1 = h[3] * p.x0 + h[4] * p.y0 + h[5] - p.y1 * w;
    const double a = h[0] - p.x1 * h[6], b = h[1] - p.x1 * h[7];
    const double c = h[3] - p.y1 * h[6], d = h[4] - p.y1 * h[7];
    s00 = a * a + b * b + w * w;
    s01 = a * c + b * d;
    s11 = c * c + d * d + w * w;
  }
};
/// And e' s^-1 e.
inline double squared_homography(const double* h, const PointPair& p) {
  const Transfer t(h, p);
  return (t.s11 * t.e0 * t.e0 - 2 * t.s01 * t.e0 * t.e1 + t.s00 * t.e1 * t.e1) /
         (t.s00 * t.s11 - t.s01 * t.s01);
}
inline double squared_distance(Geometry kind, const double* m, const PointPair& p) {
  return kind == Geometry::homography ? squared_homography(m, p) : squared_epipolar(m, p);
}

/// Moves `m` (row-major, unit norm) to a local minimum of the sum of Tukey's biweight of the
/// Sampson distances, which is constant beyond `threshold`, by at most `steps` steps of
/// Levenberg-Marquardt. M stays of its kind: H has 8 degrees of freedom; F and E are
/// U diag(1, s, 0) V' with rotations U and V, 7 of them, or, with s = 1, 5.
void levenberg_marquardt(Geometry kind, std::span<const PointPair> matches, double threshold,
                         int steps, std::array<double, 9>& m);

}  // namespace cairn::ucn::refine

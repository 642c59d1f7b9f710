#include "data/colmap/camera.h"

#include <cmath>
#include <limits>

namespace cairn {
namespace {

using Plane = std::array<double, 2>;

Plane none(double u, double v, const double*) { return {u, v}; }

Plane scaled(double u, double v, double factor) { return {u * factor, v * factor}; }

Plane radial1(double u, double v, const double* k) {
  return scaled(u, v, 1 + k[0] * (u * u + v * v));
}

Plane radial2(double u, double v, const double* k) {
  const double r2 = u * u + v * v;
  return scaled(u, v, 1 + r2 * (k[0] + r2 * k[1]));
}

/// (u, v) by a factor, and the lens's tilt: p[0], p[1].
Plane tangential(double u, double v, double factor, const double* p) {
  const double r2 = u * u + v * v;
  return {u * factor + 2 * p[0] * u * v + p[1] * (r2 + 2 * u * u),
          v * factor + 2 * p[1] * u * v + p[0] * (r2 + 2 * v * v)};
}

Plane opencv(double u, double v, const double* k) {
  const double r2 = u * u + v * v;
  return tangential(u, v, 1 + r2 * (k[0] + r2 * k[1]), k + 2);
}

Plane full_opencv(double u, double v, const double* k) {  // k1 k2 p1 p2 k3 k4 k5 k6
  const double r2 = u * u + v * v;
  return tangential(
      u, v,
      (1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))) / (1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))),
      k + 2);
}

/// An angle per radius: theta (1 + k[0] theta^2 + k[1] theta^4 + ...), with n coefficients.
template <int n>
Plane fisheye(double u, double v, const double* k) {
  const double r = std::hypot(u, v), theta = std::atan(r), t2 = theta * theta;
  double factor = 0;
  for (int i = n - 1; i >= 0; --i) factor = t2 * (k[i] + factor);
  return r > 0 ? scaled(u, v, theta / r * (1 + factor)) : Plane{u, v};
}

Plane fov(double u, double v, const double* k) {
  const double r = std::hypot(u, v), omega = k[0];
  if (std::fabs(omega) < 1e-6) return {u, v};
  const double twice = 2 * std::tan(omega / 2);
  return scaled(u, v, r > 1e-9 ? std::atan(r * twice) / (r * omega) : twice / omega);
}

Plane thin_prism(double u, double v, const double* k) {  // k1 k2 p1 p2 k3 k4 sx1 sy1
  const auto [a, b] = fisheye<0>(u, v, nullptr);
  const double r2 = a * a + b * b;
  auto [x, y] = tangential(a, b, 1 + r2 * (k[0] + r2 * (k[1] + r2 * (k[4] + r2 * k[5]))), k + 2);
  return {x + k[6] * r2, y + k[7] * r2};
}

}  // namespace

const std::vector<CameraModel>& camera_models() {
  static const std::vector<CameraModel> all = {
      {"SIMPLE_PINHOLE", 3, false, none},
      {"PINHOLE", 4, true, none},
      {"SIMPLE_RADIAL", 4, false, radial1},
      {"RADIAL", 5, false, radial2},
      {"OPENCV", 8, true, opencv},
      {"OPENCV_FISHEYE", 8, true, fisheye<4>},
      {"FULL_OPENCV", 12, true, full_opencv},
      {"FOV", 5, true, fov},
      {"SIMPLE_RADIAL_FISHEYE", 4, false, fisheye<1>},
      {"RADIAL_FISHEYE", 5, false, fisheye<2>},
      {"THIN_PRISM_FISHEYE", 12, true, thin_prism},
  };
  return all;
}

std::array<double, 2> project(const Camera& camera, const std::array<double, 3>& x) {
  if (!(x[2] > 0)) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan};
  }
  const bool two = camera.model->two_focal_lengths;
  const double* p = camera.parameters.data();
  const double *center = p + (two ? 2 : 1), *k = center + 2;
  const auto [u, v] = camera.model->distort(x[0] / x[2], x[1] / x[2], k);
  return {p[0] * u + center[0], p[two ? 1 : 0] * v + center[1]};
}

std::array<double, 3> unproject(const Camera& camera, double x, double y) {
  const double* p = camera.parameters.data();
  const double fx = p[0], fy = p[camera.model->two_focal_lengths ? 1 : 0];
  const double* center = p + (camera.model->two_focal_lengths ? 2 : 1);
  double u = (x - center[0]) / fx, v = (y - center[1]) / fy;
  for (int step = 0; step < 50; ++step) {
    constexpr double h = 1e-6;
    const auto at = [&](double a, double b) { return project(camera, {a, b, 1}); };
    const auto [x0, y0] = at(u, v);
    const double ex = x - x0, ey = y - y0;
    if (std::hypot(ex, ey) < 1e-9 * fx) return {u, v, 1};
    const auto [xu, yu] = at(u + h, v);
    const auto [xv, yv] = at(u, v + h);
    const double a = (xu - x0) / h, b = (xv - x0) / h, c = (yu - y0) / h, d = (yv - y0) / h;
    const double det = a * d - b * c;
    u += (d * ex - b * ey) / det;
    v += (a * ey - c * ex) / det;
  }
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  return {nan, nan, nan};
}

}  // namespace cairn

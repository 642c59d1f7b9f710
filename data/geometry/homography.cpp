#include "data/geometry/homography.h"

#include <cmath>

#include "tensor/error.h"

namespace cairn {

Homography identity_homography() { return {1, 0, 0, 0, 1, 0, 0, 0, 1}; }
Homography translation(double x, double y) { return {1, 0, x, 0, 1, y, 0, 0, 1}; }
Homography scaling(double x, double y) { return {x, 0, 0, 0, y, 0, 0, 0, 1}; }

Homography rotation(double angle) {
  const double c = std::cos(angle), s = std::sin(angle);
  return {c, -s, 0, s, c, 0, 0, 0, 1};
}

Homography compose(const Homography& a, const Homography& b) {
  Homography product{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      for (size_t k = 0; k < 3; ++k) product[3 * i + j] += a[3 * i + k] * b[3 * k + j];
  return product;
}

Homography inverse(const Homography& h) {
  // The adjugate; the determinant only decides whether there is an inverse.
  Homography r = {h[4] * h[8] - h[5] * h[7], h[2] * h[7] - h[1] * h[8], h[1] * h[5] - h[2] * h[4],
                  h[5] * h[6] - h[3] * h[8], h[0] * h[8] - h[2] * h[6], h[2] * h[3] - h[0] * h[5],
                  h[3] * h[7] - h[4] * h[6], h[1] * h[6] - h[0] * h[7], h[0] * h[4] - h[1] * h[3]};
  const double determinant = h[0] * r[0] + h[1] * r[3] + h[2] * r[6];
  require(std::isfinite(determinant) && determinant != 0, ErrorId::argument, "homography",
          "no inverse: the determinant is ", determinant);
  const double scale = r[8] != 0 ? r[8] : determinant;
  for (double& v : r) v /= scale;
  return r;
}

Point apply(const Homography& h, double x, double y) {
  const double d = h[6] * x + h[7] * y + h[8];
  return {(h[0] * x + h[1] * y + h[2]) / d, (h[3] * x + h[4] * y + h[5]) / d};
}

double local_scale(const Homography& h, double x, double y) {
  const double d = h[6] * x + h[7] * y + h[8];
  const auto [px, py] = apply(h, x, y);
  const double a = (h[0] - px * h[6]) / d, b = (h[1] - px * h[7]) / d;  // the Jacobian
  const double c = (h[3] - py * h[6]) / d, e = (h[4] - py * h[7]) / d;
  return (std::hypot(a + e, c - b) + std::hypot(a - e, c + b)) / 2;  // its larger singular value
}

}  // namespace cairn

// Homographies: 3 x 3 matrices that map the plane to the plane, lines to lines.
#pragma once

#include <array>

namespace cairn {

/// Row-major: (x, y) goes to ((h0 x + h1 y + h2) / d, (h3 x + h4 y + h5) / d), d = h6 x + h7 y +
/// h8.
using Homography = std::array<double, 9>;
using Point = std::array<double, 2>;

Homography identity_homography();
Homography translation(double x, double y);
Homography scaling(double x, double y);
/// Turns the x axis towards the y axis by `angle` radians (clockwise on screen, as y is down).
Homography rotation(double angle);

/// The map that applies `first`, then `second`: the matrix product second * first.
Homography compose(const Homography& second, const Homography& first);
/// Scaled so that the last element is 1 where it can be. Throws ErrorId::argument when singular.
Homography inverse(const Homography& h);
/// Where (x, y) goes. Points on the vanishing line go to infinity or NaN.
Point apply(const Homography& h, double x, double y);
/// The largest factor by which lengths at (x, y) grow, over all directions.
double local_scale(const Homography& h, double x, double y);

}  // namespace cairn

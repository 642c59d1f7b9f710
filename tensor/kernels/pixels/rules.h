// What is done with one pixel, the same on every device.
#pragma once

#include <cmath>
#include <cstdint>

namespace cairn::kernels {

/// place: x, y.
constexpr bool is_far(int64_t pixel, const double* place, int64_t width, double radius) {
  const double dx = double(pixel % width) - place[0], dy = double(pixel / width) - place[1];
  return std::sqrt(dx * dx + dy * dy) > radius;
}

/// move: dx, dy.
constexpr int64_t moved(int64_t pixel, const int64_t* move, int64_t height, int64_t width) {
  int64_t x = pixel % width + move[0], y = pixel / width + move[1];
  x = x < 0 ? 0 : x < width ? x : width - 1;
  y = y < 0 ? 0 : y < height ? y : height - 1;
  return y * width + x;
}

}  // namespace cairn::kernels

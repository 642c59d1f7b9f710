// The plainest loops: four neighbours, in double.
#include <algorithm>
#include <cmath>

#include "tensor/kernels/bilinear/bilinear.h"

namespace cairn::kernels::reference {
namespace {

/// Calls f(k, pixel, weight) for the four neighbours of each position, top-left first.
template <class F>
void neighbours(const Tensor& positions, const Shape& image, F f) {
  const std::vector<double> p = positions.to_vector();
  const int64_t h = image[0], w = image[1];
  for (int64_t k = 0; k < positions.dim(0); ++k) {
    const double x = std::min(std::max(p[size_t(2 * k)], 0.0), double(w - 1));
    const double y = std::min(std::max(p[size_t(2 * k + 1)], 0.0), double(h - 1));
    for (int64_t j = 0; j < 4; ++j) {
      const double nx = std::floor(x) + double(j % 2), ny = std::floor(y) + double(j / 2);
      const double weight = (1 - std::fabs(x - nx)) * (1 - std::fabs(y - ny));
      if (nx <= double(w - 1) && ny <= double(h - 1)) f(k, int64_t(ny) * w + int64_t(nx), weight);
    }
  }
}

}  // namespace

Tensor bilinear_sample(const Tensor& x, const Tensor& positions) {
  const int64_t c = x.dim(2);
  const std::vector<double> values = x.to_vector();
  std::vector<double> y(size_t(positions.dim(0) * c));
  neighbours(positions, x.shape(), [&](int64_t k, int64_t pixel, double weight) {
    for (int64_t j = 0; j < c; ++j) y[size_t(k * c + j)] += weight * values[size_t(pixel * c + j)];
  });
  return Tensor::from({positions.dim(0), c}, y).to(x.dtype());
}

Tensor bilinear_sample_backward(const Tensor& dy, const Tensor& positions, const Shape& x_shape) {
  const int64_t c = x_shape[2];
  const std::vector<double> g = dy.to_vector();
  std::vector<double> dx(size_t(x_shape.numel()));
  neighbours(positions, x_shape, [&](int64_t k, int64_t pixel, double weight) {
    for (int64_t j = 0; j < c; ++j) dx[size_t(pixel * c + j)] += weight * g[size_t(k * c + j)];
  });
  return Tensor::from(x_shape, dx).to(dy.dtype());
}

}  // namespace cairn::kernels::reference

// The plainest loops.
#include <cmath>
#include <numbers>

#include "tensor/kernels/scale_space/scale_space.h"

namespace cairn::kernels::reference {
namespace {

int64_t mirrored(int64_t i, int64_t n) {
  while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * n - 2 - i;
  return n > 1 ? i : 0;
}

}  // namespace

Tensor blur(const Tensor& image, std::span<const float> taps) {
  const int64_t h = image.dim(0), w = image.dim(1), r = int64_t(taps.size()) - 1;
  Tensor y = Tensor::zeros({h, w});
  for (int64_t i = 0; i < h * w; ++i) {
    double sum = 0;
    for (int64_t v = -r; v <= r; ++v)
      for (int64_t u = -r; u <= r; ++u)
        sum += double(taps[size_t(std::abs(v))]) * taps[size_t(std::abs(u))] *
               image.data<float>()[mirrored(i / w + v, h) * w + mirrored(i % w + u, w)];
    y.data<float>()[i] = float(sum);
  }
  return y;
}

std::vector<int64_t> extrema(const Tensor& below, const Tensor& here, const Tensor& above,
                             float threshold, int64_t border) {
  const int64_t h = here.dim(0), w = here.dim(1);
  std::vector<int64_t> found;
  for (int64_t y = border; y < h - border; ++y)
    for (int64_t x = border; x < w - border; ++x) {
      const float value = here.data<float>()[y * w + x];
      bool greatest = value > threshold, least = value < -threshold;
      for (const Tensor* layer : {&below, &here, &above})
        for (int64_t v = y - 1; v <= y + 1; ++v)
          for (int64_t u = x - 1; u <= x + 1; ++u) {
            const float other = layer->data<float>()[v * w + u];
            greatest = greatest && value >= other;
            least = least && value <= other;
          }
      if (greatest || least) found.push_back(y * w + x);
    }
  return found;
}

void gradient_row(int64_t n, const float* over, const float* here, const float* under,
                  float* length, float* turns) {
  for (int64_t i = 0; i < n; ++i) {
    const double dx = double(here[i + 1]) - here[i - 1], dy = double(over[i]) - under[i];
    length[i] = float(std::hypot(dx, dy));
    const double turn = std::atan2(dy, dx) / (2 * std::numbers::pi);
    turns[i] = float(turn < 0 ? turn + 1 : turn);
  }
}

}  // namespace cairn::kernels::reference

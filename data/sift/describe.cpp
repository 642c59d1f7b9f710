// Descriptors: the gradients around a keypoint, in its own scale and direction, counted in 4 x 4
// places and 8 directions, each shared linearly between its neighbours.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "data/sift/octaves.h"
#include "tensor/kernels/scale_space/scale_space.h"
#include "tensor/parallel.h"

namespace cairn::detail {
namespace {

constexpr int places = 4, directions = 8, size = places * places * directions;

/// Of a keypoint at (x, y) of the layer with this scale, both in its pixels; turn: its direction,
/// counted like the gradients'.
void describe(const Tensor& layer, double x, double y, double scale, double turn,
              kernels::GradientRow gradient_row, float* to) {
  const int64_t h = layer.dim(0), w = layer.dim(1), x0 = std::lrint(x), y0 = std::lrint(y);
  const double place = 3 * scale;  // px, the side of one place
  const auto diagonal = int64_t(std::hypot(double(h), double(w)));
  const int64_t radius =
      std::min(std::lrint(place * std::numbers::sqrt2 * (places + 1) / 2), diagonal);
  const auto cosine = float(std::cos(2 * std::numbers::pi * turn) / place);
  const auto sine = float(std::sin(2 * std::numbers::pi * turn) / place);

  std::vector<float> weight, length(static_cast<size_t>(2 * radius + 1)), turns(length.size());
  for (int64_t k = 0; k <= radius; ++k)  // half of the places wide
    weight.push_back(float(std::exp(-double(k * k) / (place * place * places * places / 2))));

  // A ring of places around those that count, and directions that are counted twice, spare tests.
  constexpr int right = directions + 2, down = (places + 2) * right;
  std::array<std::array<float, (places + 2) * down>, 2> counts{};
  for (int64_t v = std::max<int64_t>(1, y0 - radius); v <= std::min(h - 2, y0 + radius); ++v) {
    // In the ring: column = dx cosine + column0, row = dx sine + row0, both inside (0, places + 1).
    const auto dy = float(v - y0);
    const float column0 = places / 2 + 0.5f - dy * sine, row0 = places / 2 + 0.5f + dy * cosine;
    auto first = float(std::max(1 - x0, -radius)), last = float(std::min(w - 2 - x0, radius));
    for (const auto& [slope, start] : {std::pair(cosine, column0), std::pair(sine, row0)}) {
      if (slope == 0) continue;  // each pixel is tested below
      const float a = -start / slope, b = (places + 1 - start) / slope;
      first = std::max(first, std::min(a, b));
      last = std::min(last, std::max(a, b));
    }
    if (!(first <= last)) continue;
    const auto begin = int64_t(std::ceil(first)), n = int64_t(std::floor(last)) - begin + 1;
    if (n <= 0) continue;
    const float* here = layer.data<float>() + v * w + x0 + begin;
    gradient_row(n, here - w, here, here + w, length.data(), turns.data());
    const float row_weight = weight[size_t(std::abs(v - y0))];
    for (int64_t i = 0; i < n; ++i) {
      const auto dx = float(begin + i);
      const float column = dx * cosine + column0, row = dx * sine + row0;
      if (!(row > 0 && row < places + 1 && column > 0 && column < places + 1)) continue;
      float direction = (turns[size_t(i)] - float(turn)) * directions;
      direction += direction < 0 ? directions : 0;
      const int r = int(row), c = int(column), d = int(direction);
      const float fr = row - float(r), fc = column - float(c), fd = direction - float(d);
      const float all = length[size_t(i)] * row_weight * weight[size_t(std::abs(begin + i))];
      float* count = counts[size_t(i & 1)].data() + r * down + c * right + d;
      const float below = all * fr, above = all - below;
      const float below_right = below * fc, below_left = below - below_right;
      const float above_right = above * fc, above_left = above - above_right;
      const auto add = [&](float* at, float value) {
        const float next = value * fd;
        at[0] += value - next;
        at[1] += next;
      };
      add(count, above_left);
      add(count + right, above_right);
      add(count + down, below_left);
      add(count + down + right, below_right);
    }
  }
  float square = 0;
  for (int r = 0; r < places; ++r)
    for (int c = 0; c < places; ++c)
      for (int d = 0; d < directions; ++d) {
        const auto at = [&, start = (r + 1) * down + (c + 1) * right](int k) {
          return counts[0][size_t(start + k)] + counts[1][size_t(start + k)];
        };
        const float value = at(d) + (d < 2 ? at(d + directions) : 0);
        to[(r * places + c) * directions + d] = value;
        square += value * value;
      }
  // No direction may outweigh the others; then bytes.
  const float most = 0.2f * std::sqrt(square);
  square = 0;
  for (int i = 0; i < size; ++i) {
    to[i] = std::min(to[i], most);
    square += to[i] * to[i];
  }
  const float factor = 512 / std::max(std::sqrt(square), 1.1920929e-7f);
  for (int i = 0; i < size; ++i) to[i] = std::min(255.f, std::rint(to[i] * factor));
}

}  // namespace

Tensor describe_sift_keypoints(const std::vector<Octave>& octaves,
                               const std::vector<SiftKeypoint>& keypoints, const SiftOptions& o) {
  Tensor descriptors = Tensor::empty({int64_t(keypoints.size()), size});
  const auto gradient_row = kernels::gradient_row();
  parallel_for(int64_t(keypoints.size()), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const SiftKeypoint& k = keypoints[size_t(i)];
      const double unit = std::exp2(-k.octave);
      float* to = descriptors.data<float>() + i * size;
      describe(octaves[size_t(k.octave)].layers[size_t(k.layer)], k.x * unit, k.y * unit,
               k.size * unit / 2, 1 - k.angle / 360, gradient_row, to);
      if (!o.root) continue;
      float sum = 0;
      for (int j = 0; j < size; ++j) sum += to[j];
      for (int j = 0; j < size; ++j) to[j] = sum > 0 ? std::sqrt(to[j] / sum) : 0;
    }
  });
  return descriptors;
}

}  // namespace cairn::detail

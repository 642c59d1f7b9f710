// Keypoints: extrema of the difference of neighbouring layers, placed between pixels and layers by
// a quadratic, kept where they stand out and are no edge; one for each of their directions.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "data/sift/octaves.h"
#include "tensor/kernels/scale_space/scale_space.h"
#include "tensor/parallel.h"

namespace cairn::detail {
namespace {

constexpr int64_t border = 5;  // px, where nothing is sought

struct Extremum {
  int64_t x, y;
  int layer;
  double dx, dy, ds;  ///< where it lies from there
  float response;
};

/// The x with A x = b for a symmetric 3 x 3 A (xx, xy, xs, yy, ys, ss); infinite if A is singular.
std::array<double, 3> solve(const std::array<double, 6>& a, const std::array<double, 3>& b) {
  const auto [xx, xy, xs, yy, ys, ss] = a;
  const double c0 = yy * ss - ys * ys, c1 = xs * ys - xy * ss, c2 = xy * ys - xs * yy;
  const double inv = 1 / (xx * c0 + xy * c1 + xs * c2);
  return {inv * (c0 * b[0] + c1 * b[1] + c2 * b[2]),
          inv * (c1 * b[0] + (xx * ss - xs * xs) * b[1] + (xy * xs - xx * ys) * b[2]),
          inv * (c2 * b[0] + (xy * xs - xx * ys) * b[1] + (xx * yy - xy * xy) * b[2])};
}

/// Moves to the summit of the quadratic through the 27 values around, until it lies within half a
/// pixel and half a layer.
std::optional<Extremum> refined(const std::vector<Tensor>& differences, int layer, int64_t x,
                                int64_t y, const SiftOptions& o) {
  const int64_t h = differences[0].dim(0), w = differences[0].dim(1);
  for (int step = 0; step < 5; ++step) {
    const float* p[3];
    for (int k = 0; k < 3; ++k) p[k] = differences[size_t(layer + k - 1)].data<float>() + y * w + x;
    const auto at = [&](int s, int64_t v, int64_t u) { return double(p[s + 1][v * w + u]) / 255; };
    const double value = at(0, 0, 0);
    const std::array<double, 3> slope{(at(0, 0, 1) - at(0, 0, -1)) / 2,
                                      (at(0, 1, 0) - at(0, -1, 0)) / 2,
                                      (at(1, 0, 0) - at(-1, 0, 0)) / 2};
    const double xx = at(0, 0, 1) + at(0, 0, -1) - 2 * value;
    const double yy = at(0, 1, 0) + at(0, -1, 0) - 2 * value;
    const double ss = at(1, 0, 0) + at(-1, 0, 0) - 2 * value;
    const double xy = (at(0, 1, 1) - at(0, 1, -1) - at(0, -1, 1) + at(0, -1, -1)) / 4;
    const double xs = (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1)) / 4;
    const double ys = (at(1, 1, 0) - at(1, -1, 0) - at(-1, 1, 0) + at(-1, -1, 0)) / 4;
    auto to = solve({xx, xy, xs, yy, ys, ss}, slope);
    for (double& v : to) v = -v;
    if (std::ranges::all_of(to, [](double v) { return std::fabs(v) < 0.5; })) {
      const double there = value + (slope[0] * to[0] + slope[1] * to[1] + slope[2] * to[2]) / 2;
      const double trace = xx + yy, det = xx * yy - xy * xy;
      if (std::fabs(there) * o.octave_layers < o.contrast || det <= 0 ||
          trace * trace * o.edge >= (o.edge + 1) * (o.edge + 1) * det)
        return {};
      return Extremum{x, y, layer, to[0], to[1], to[2], float(std::fabs(there))};
    }
    for (double v : to)
      if (!(std::fabs(v) < 1e6)) return {};
    x += std::lrint(to[0]);
    y += std::lrint(to[1]);
    layer += int(std::lrint(to[2]));
    if (layer < 1 || layer > o.octave_layers || x < border || x >= w - border || y < border ||
        y >= h - border)
      return {};
  }
  return {};
}

constexpr int bins = 36;

/// How much gradient there is in each direction around a pixel, up to four and a half scales away.
std::array<float, bins> directions(const Tensor& layer, int64_t x, int64_t y, double scale) {
  const int64_t h = layer.dim(0), w = layer.dim(1), radius = std::lrint(4.5 * scale);
  std::vector<float> weight, length(static_cast<size_t>(2 * radius + 1)), turns(length.size());
  for (int64_t k = 0; k <= radius; ++k)
    weight.push_back(float(std::exp(-double(k * k) / (2 * 1.5 * 1.5 * scale * scale))));
  const auto gradient_row = kernels::gradient_row();
  const int64_t left = std::max<int64_t>(1, x - radius), right = std::min(w - 2, x + radius);
  std::array<float, bins> raw{}, smooth{};
  for (int64_t v = std::max<int64_t>(1, y - radius); v <= std::min(h - 2, y + radius); ++v) {
    const float* here = layer.data<float>() + v * w + left;
    const int64_t n = right - left + 1;
    if (n <= 0) break;
    gradient_row(n, here - w, here, here + w, length.data(), turns.data());
    for (int64_t i = 0; i < n; ++i) {
      const auto bin = size_t(std::lrint(bins * turns[size_t(i)])) % bins;
      raw[bin] += weight[size_t(std::abs(v - y))] * weight[size_t(std::abs(left + i - x))] *
                  length[size_t(i)];
    }
  }
  const auto at = [&](size_t i) { return raw[i % bins]; };
  for (size_t i = 0; i < bins; ++i)
    smooth[i] =
        (at(i + bins - 2) + at(i + 2)) / 16 + (at(i + bins - 1) + at(i + 1)) / 4 + at(i) * 6 / 16;
  return smooth;
}

/// One keypoint for each strong peak of its directions.
void add_keypoints(const Extremum& e, const Tensor& layer, int octave, const SiftOptions& o,
                   std::vector<SiftKeypoint>& to) {
  const double scale = o.sigma * std::exp2((e.layer + e.ds) / o.octave_layers);
  const double unit = std::exp2(octave);
  const auto strength = directions(layer, e.x, e.y, scale);
  const float enough = 0.8f * *std::ranges::max_element(strength);
  for (size_t i = 0; i < bins; ++i) {
    const float here = strength[i], before = strength[(i + bins - 1) % bins],
                after = strength[(i + 1) % bins];
    if (!(here > before && here > after && here >= enough)) continue;
    const double bin = double(i) + 0.5 * (before - after) / (before - 2 * here + after);
    const double angle = std::fmod(360 - 360 / double(bins) * bin + 360, 360);
    const auto direction = float(angle) < 360 ? float(angle) : 0;
    to.push_back({float((double(e.x) + e.dx) * unit), float((double(e.y) + e.dy) * unit),
                  float(2 * scale * unit), direction, e.response, octave, e.layer, float(e.ds)});
  }
}

}  // namespace

std::vector<SiftKeypoint> find_sift_keypoints(const Octave& octave, int index,
                                              const SiftOptions& o) {
  const auto threshold = float(std::floor(0.5 * o.contrast / o.octave_layers * 255));
  const int64_t w = octave.layers[0].dim(1), grain = 16;
  std::vector<SiftKeypoint> keypoints;
  for (int layer = 1; layer <= o.octave_layers; ++layer) {
    const Tensor* d = octave.differences.data() + layer;
    const auto pixels = kernels::extrema(d[-1], d[0], d[1], threshold, border);
    const auto count = int64_t(pixels.size());
    std::vector<std::vector<SiftKeypoint>> found(size_t(num_chunks(count, grain)));
    parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t p = pixels[size_t(i)];
        const auto e = refined(octave.differences, layer, p % w, p / w, o);
        if (e)
          add_keypoints(*e, octave.layers[size_t(e->layer)], index, o,
                        found[size_t(begin / grain)]);
      }
    });
    for (const auto& part : found) keypoints.insert(keypoints.end(), part.begin(), part.end());
  }
  return keypoints;
}

}  // namespace cairn::detail

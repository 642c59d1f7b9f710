#include "data/warp.h"

#include <algorithm>
#include <cmath>

#include "data/image.h"

namespace cairn {
namespace {

Tensor half(const Tensor& pixels) {
  const int64_t h = pixels.dim(0) / 2, w = pixels.dim(1) / 2, c = pixels.dim(2);
  const int64_t stride = pixels.dim(1) * c;
  Tensor result = Tensor::empty({h, w, c}, DType::u8);
  uint8_t* to = result.data<uint8_t>();
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x)
      for (int64_t k = 0; k < c; ++k) {
        const uint8_t* from = pixels.data<uint8_t>() + 2 * (y * stride + x * c) + k;
        *to++ = uint8_t((from[0] + from[c] + from[stride] + from[stride + c] + 2) / 4);
      }
  return result;
}

/// Adds the bilinear sample at (x, y) of an image of C channels.
template <int C>
void add_sample(const uint8_t* pixels, int64_t h, int64_t w, double x, double y, float* sum) {
  // Written so that NaN becomes 0.
  x = x > 0 ? std::min(x, double(w - 1)) : 0;
  y = y > 0 ? std::min(y, double(h - 1)) : 0;
  const int64_t x0 = int64_t(x), y0 = int64_t(y);
  const float u = float(x - double(x0)), v = float(y - double(y0));
  const uint8_t* p = pixels + (y0 * w + x0) * C;
  const int64_t right = x0 + 1 < w ? C : 0, down = y0 + 1 < h ? w * C : 0;
  for (int k = 0; k < C; ++k) {
    const float top = float(p[k]) + u * (float(p[right + k]) - float(p[k]));
    const float bottom = float(p[down + k]) + u * (float(p[down + right + k]) - float(p[down + k]));
    sum[k] += top + v * (bottom - top);
  }
}

/// The mean of n x n samples in each pixel; `h` maps pixels, once bent, to the level.
template <int C>
void warp_level(const Tensor& level, const Homography& h, const Bend& bend, int n, Tensor& result) {
  const int64_t height = result.dim(0), width = result.dim(1);
  float* out = result.data<float>();
  const float share = 1.f / float(n * n);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x, out += C) {
      float sum[C] = {};
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
          const Point p = bend(double(x) + (j + 0.5) / n - 0.5, double(y) + (i + 0.5) / n - 0.5);
          const auto [px, py] = apply(h, p[0], p[1]);
          add_sample<C>(level.data<uint8_t>(), level.dim(0), level.dim(1), px, py, sum);
        }
      for (int k = 0; k < C; ++k) out[k] = sum[k] * share;
    }
}

}  // namespace

Pyramid::Pyramid(const Tensor& pixels) {
  require_image("pyramid", pixels);
  levels_.push_back(pixels);
  while (std::min(levels_.back().dim(0), levels_.back().dim(1)) >= 16)
    levels_.push_back(half(levels_.back()));
}

int64_t Pyramid::nbytes() const {
  int64_t sum = 0;
  for (const Tensor& level : levels_) sum += level.nbytes();
  return sum;
}

Tensor warp(const Pyramid& image, const Homography& view_to_image, int64_t height, int64_t width,
            const Bend& bend) {
  require(!image.levels().empty(), ErrorId::argument, "warp", "the pyramid is empty");
  require(height >= 1 && width >= 1, ErrorId::argument, "warp", "cannot make a view of height ",
          height, ", width ", width);
  // The level follows the least shrunk part of the view, the number of samples the most shrunk.
  double least = INFINITY, most = 0;
  for (const double x : {0.0, double(width - 1) / 2, double(width - 1)})
    for (const double y : {0.0, double(height - 1) / 2, double(height - 1)}) {
      const double scale = local_scale(view_to_image, x, y);
      least = std::min(least, scale);
      most = std::max(most, scale);
    }
  size_t level = 0;
  double size = 1;  // of the level's pixels, in those of the image
  while (level + 1 < image.levels().size() && size * 2 <= least) {
    ++level;
    size *= 2;
  }
  const int n = int(std::clamp(std::ceil(most / size - 1e-6), 1.0, 4.0));
  const double shift = 0.5 / size - 0.5;
  const Homography to_level =
      compose(compose(translation(shift, shift), scaling(1 / size, 1 / size)), view_to_image);

  Tensor result = Tensor::empty({height, width, image.channels()});
  (image.channels() == 1 ? warp_level<1> : warp_level<3>)(image.levels()[level], to_level, bend, n,
                                                          result);
  return result;
}

}  // namespace cairn

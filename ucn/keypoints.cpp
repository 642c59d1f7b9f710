#include "ucn/keypoints.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <vector>

#include "data/image.h"
#include "data/sift/sift.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/parallel.h"
#include "ucn/photo.h"
#include "ucn/score_head.h"

namespace cairn::ucn {
namespace {

Tensor to_tensor(const std::vector<std::array<int64_t, 2>>& points) {
  Tensor t = Tensor::empty({int64_t(points.size()), 2}, DType::i64);
  for (size_t k = 0; k < points.size(); ++k)
    std::ranges::copy(points[k], t.data<int64_t>() + 2 * k);
  return t;
}

/// The smaller eigenvalue at every pixel, 0 where the window leaves the image.
std::vector<float> corner_strength(const float* image, int64_t h, int64_t w) {
  constexpr int64_t margin = 3;  // 2 of the window, 1 of the gradient
  std::vector<float> strength(size_t(h * w), 0.0f);
  parallel_for(h, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = std::max(begin, margin); y < std::min(end, h - margin); ++y)
      for (int64_t x = margin; x < w - margin; ++x) {
        float xx = 0, xy = 0, yy = 0;
        for (int64_t v = y - 2; v <= y + 2; ++v)
          for (int64_t u = x - 2; u <= x + 2; ++u) {
            const float* p = image + v * w + u;
            const float gx = p[1] - p[-1], gy = p[w] - p[-w];
            xx += gx * gx;
            xy += gx * gy;
            yy += gy * gy;
          }
        const float half_trace = (xx + yy) / 2, difference = (xx - yy) / 2;
        strength[size_t(y * w + x)] = half_trace - std::sqrt(difference * difference + xy * xy);
      }
  });
  return strength;
}

/// Pixels above `least` that are highest among the (2 spacing + 1)^2 around them, highest first.
Tensor local_maxima(const float* map, int64_t h, int64_t w, float least, const KeypointOptions& o) {
  const int64_t r = std::max<int64_t>(1, o.spacing);
  const auto at = [&](int64_t x, int64_t y) { return map[y * w + x]; };
  struct Maximum {
    float height;
    int64_t x, y;
  };
  std::vector<Maximum> maxima;
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      const float s = at(x, y);
      if (!(s > least)) continue;
      bool highest = true;
      for (int64_t v = std::max<int64_t>(0, y - r); highest && v <= std::min(h - 1, y + r); ++v)
        for (int64_t u = std::max<int64_t>(0, x - r); u <= std::min(w - 1, x + r); ++u)
          // Of equal neighbours the first in row order wins.
          if (at(u, v) > s || (at(u, v) == s && (v < y || (v == y && u < x)))) {
            highest = false;
            break;
          }
      if (highest) maxima.push_back({s, x, y});
    }
  std::ranges::stable_sort(maxima, std::greater{}, &Maximum::height);
  const auto most = size_t(std::max<int64_t>(0, o.max_keypoints));
  if (maxima.size() > most) maxima.resize(most);
  std::vector<std::array<int64_t, 2>> points;
  for (const Maximum& m : maxima) points.push_back({m.x, m.y});
  return to_tensor(points);
}

}  // namespace

KeypointKind keypoint_kind(const std::string& name) {
  constexpr std::array names = {"sift", "corners", "grid", "score"};
  const auto at = std::ranges::find(names, name);
  require(at != names.end(), ErrorId::argument, "keypoints", "no keypoints '", name,
          "'; there is sift, corners, grid, score");
  return KeypointKind(at - names.begin());
}

Tensor detect_keypoints(const Tensor& image, const KeypointOptions& o) {
  require_image("detect_keypoints", image);
  if (o.kind == KeypointKind::sift) return detect_sift(to_gray(image), o);
  if (o.kind == KeypointKind::grid)
    return grid_keypoints(image.dim(0), image.dim(1), o).to(DType::f64);
  require(o.kind == KeypointKind::corners, ErrorId::argument, "keypoints",
          "the score's keypoints are found in features, not in an image");
  const Tensor gray = kernels::affine(to_gray(image).to(DType::f32), 1.0 / 255, 0);
  return detect_corners(gray, o).to(DType::f64);
}

std::vector<int64_t> apart(const Tensor& points, double radius) {
  // Cells as wide as the radius: a near point lies in one of nine.
  std::map<std::pair<int64_t, int64_t>, std::vector<int64_t>> cells;
  std::vector<int64_t> chosen;
  const double* p = points.data<double>();
  for (int64_t k = 0; k < points.dim(0); ++k) {
    const double x = p[2 * k], y = p[2 * k + 1];
    const auto column = int64_t(std::floor(x / radius)), row = int64_t(std::floor(y / radius));
    bool alone = true;
    for (int64_t c = column - 1; alone && c <= column + 1; ++c)
      for (int64_t r = row - 1; alone && r <= row + 1; ++r) {
        const auto cell = cells.find({c, r});
        if (cell == cells.end()) continue;
        alone = std::ranges::none_of(cell->second, [&](int64_t other) {
          return std::hypot(p[2 * other] - x, p[2 * other + 1] - y) < radius;
        });
      }
    if (!alone) continue;
    chosen.push_back(k);
    cells[{column, row}].push_back(k);
  }
  return chosen;
}

std::vector<int64_t> apart(const Tensor& points0, const Tensor& points1, double radius0,
                           double radius1) {
  std::vector<int64_t> both;
  const auto first = apart(points0, radius0), second = apart(points1, radius1);
  std::ranges::set_intersection(first, second, std::back_inserter(both));
  return both;
}

Tensor detect_sift(const Tensor& gray, const KeypointOptions& o) {
  // Scale space takes some hundred bytes a pixel: large photos are searched tile by tile, where
  // blobs wider than a tile's margin may be missed.
  constexpr int64_t at_once = int64_t{1} << 22;
  const int64_t h = gray.dim(0), w = gray.dim(1);
  std::vector<SiftKeypoint> found;
  for (const Tile& t :
       tiles_of(h, w, h * w <= at_once ? std::max({h, w, int64_t{8}}) : 1024, 128)) {
    Tensor part = Tensor::empty({t.height, t.width, 1}, DType::u8);
    for (int64_t y = 0; y < t.height; ++y)
      std::copy_n(gray.data<uint8_t>() + (t.y + y) * w + t.x, t.width,
                  part.data<uint8_t>() + y * t.width);
    for (SiftKeypoint& k : sift_keypoints(part, {.contrast = o.contrast})) {
      k.x += float(t.x);
      k.y += float(t.y);
      if (std::lround(k.x) >= t.left && std::lround(k.x) < t.right && std::lround(k.y) >= t.top &&
          std::lround(k.y) < t.bottom)
        found.push_back(k);
    }
  }
  std::ranges::stable_sort(found, std::greater{}, &SiftKeypoint::response);
  Tensor points = Tensor::empty({int64_t(found.size()), 2}, DType::f64);
  for (size_t k = 0; k < found.size(); ++k) {
    // Extrema are fitted up to half a pixel beyond the border's.
    points.data<double>()[2 * k] = std::clamp(double(found[k].x), 0.0, double(gray.dim(1) - 1));
    points.data<double>()[2 * k + 1] = std::clamp(double(found[k].y), 0.0, double(gray.dim(0) - 1));
  }
  std::vector<int64_t> chosen = apart(points, 1);
  if (int64_t(chosen.size()) > o.max_keypoints) chosen.resize(size_t(o.max_keypoints));
  Tensor kept = Tensor::empty({int64_t(chosen.size()), 2}, DType::f64);
  for (size_t k = 0; k < chosen.size(); ++k)
    std::copy_n(points.data<double>() + 2 * chosen[k], 2, kept.data<double>() + 2 * k);
  return kept;
}

Tensor detect_corners(const Tensor& image, const KeypointOptions& o) {
  require(image.rank() == 3 && image.dim(2) == 1, ErrorId::shape, "detect_corners", "the image is ",
          image.shape(), ", not H x W x 1");
  const int64_t h = image.dim(0), w = image.dim(1);
  return local_maxima(corner_strength(image.data<float>(), h, w).data(), h, w, 1e-5f, o);
}

Tensor detect_by_score(const Tensor& scores, const KeypointOptions& o) {
  require(scores.rank() == 2 && scores.dtype() == DType::f32, ErrorId::shape, "detect_by_score",
          "the map is ", scores.shape(), ", not H x W of f32");
  KeypointOptions in_map = o;
  in_map.spacing = (o.spacing + ScoreHead::stride - 1) / ScoreHead::stride;
  const Tensor points =
      local_maxima(scores.data<float>(), scores.dim(0), scores.dim(1), 0, in_map).to(DType::f64);
  return kernels::affine(points, double(ScoreHead::stride), 0);
}

Tensor grid_keypoints(int64_t height, int64_t width, const KeypointOptions& o) {
  int64_t step = 2 * std::max<int64_t>(1, o.spacing);
  const auto count = [&](int64_t n) { return (n + step - 1) / step; };
  while (count(height) * count(width) > std::max<int64_t>(1, o.max_keypoints)) ++step;
  // Centred, so that both borders are equally far.
  const auto first = [&](int64_t n) { return (n - 1 - (count(n) - 1) * step) / 2; };
  std::vector<std::array<int64_t, 2>> points;
  for (int64_t y = first(height); y < height; y += step)
    for (int64_t x = first(width); x < width; x += step) points.push_back({x, y});
  return to_tensor(points);
}

}  // namespace cairn::ucn

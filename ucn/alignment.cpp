#include "ucn/alignment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>

#include "data/warp.h"
#include "ucn/correspond.h"
#include "ucn/keypoints.h"
#include "ucn/local_support.h"

namespace cairn::ucn {
namespace {

bool inside(const Point& p, const Tensor& pixels, double margin = 0) {
  return p[0] >= -margin && p[1] >= -margin && p[0] <= double(pixels.dim(1) - 1) + margin &&
         p[1] <= double(pixels.dim(0) - 1) + margin;
}

/// The factor by which a map scales areas at a place, with its sign; 0 from its horizon on.
double area_scale(const Homography& h, const Point& p) {
  const double d = h[6] * p[0] + h[7] * p[1] + h[8];
  const double det = h[0] * (h[4] * h[8] - h[5] * h[7]) - h[1] * (h[3] * h[8] - h[5] * h[6]) +
                     h[2] * (h[3] * h[7] - h[4] * h[6]);
  return d > 0 ? det / (d * d * d) : 0;
}

constexpr int cells = 32;  // of a grid over a photo

/// The part of `fixed` in which `moved` is seen, as a window on `moved`.
std::optional<Window> window_on(const Tensor& moved, const Tensor& fixed, const Homography& map) {
  const auto height = double(fixed.dim(0)), width = double(fixed.dim(1));
  const double step_x = (width - 1) / cells, step_y = (height - 1) / cells;
  const double margin = 0.1 * double(std::max(moved.dim(0), moved.dim(1)));
  double left = INFINITY, top = INFINITY, right = -INFINITY, bottom = -INFINITY;
  for (int i = 0; i <= cells; ++i)
    for (int j = 0; j <= cells; ++j) {
      const double x = j * step_x, y = i * step_y;
      if (!(area_scale(map, {x, y}) > 0) || !inside(apply(map, x, y), moved, margin)) continue;
      left = std::min(left, x - step_x);
      right = std::max(right, x + step_x);
      top = std::min(top, y - step_y);
      bottom = std::max(bottom, y + step_y);
    }
  if (!(left <= right)) return std::nullopt;
  left = std::max(0.0, std::floor(left));
  top = std::max(0.0, std::floor(top));
  right = std::min(std::ceil(right), width - 1);
  bottom = std::min(std::ceil(bottom), height - 1);
  for (const double x : {left, right})
    for (const double y : {top, bottom})
      if (!(area_scale(map, {x, y}) > 0)) return std::nullopt;
  return Window{int64_t(bottom - top) + 1, int64_t(right - left) + 1,
                compose(map, translation(left, top))};
}

/// An order of photos that does not depend on which comes first.
bool comes_first(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::ranges::lexicographical_compare(a.shape(), b.shape());
  return std::memcmp(a.data<uint8_t>(), b.data<uint8_t>(), size_t(a.nbytes())) <= 0;
}

/// Whether two maps scale and turn what is at a place of photo 0 alike: to 0.4 of a step, which is
/// a factor of some 1.3 or a turn of 16 degrees.
bool alike(const Homography& a, const Homography& b, const Point& p) {
  const Homography between = compose(a, inverse(b));
  const Point at = apply(b, p[0], p[1]), to = apply(between, at[0], at[1]);
  double squares = 0;
  for (const Point& step : {Point{1, 0}, Point{0, 1}}) {
    const Point end = apply(between, at[0] + step[0], at[1] + step[1]);
    for (size_t i = 0; i < 2; ++i) squares += std::pow(end[i] - to[i] - step[i], 2);
  }
  return squares < 0.4 * 0.4;  // not where there is no number
}

/// How a photo is looked at: reduced, foreshortened, turned.
struct Pose {
  double scale_x = 1, scale_y = 1;
  int degrees = 0;
  auto operator<=>(const Pose&) const = default;
};

/// The whole of a photo, posed.
Window posed(const Tensor& pixels, const Pose& pose, double size) {
  const auto height = double(pixels.dim(0)), width = double(pixels.dim(1));
  const double h = height * pose.scale_y * size, w = width * pose.scale_x * size;
  const double angle = pose.degrees * std::numbers::pi / 180;
  const double c = std::abs(std::cos(angle)), s = std::abs(std::sin(angle));
  Window view{std::max<int64_t>(1, std::llround(c * h + s * w)),
              std::max<int64_t>(1, std::llround(c * w + s * h)),
              {}};
  view.to_photo = compose(
      translation((width - 1) / 2, (height - 1) / 2),
      compose(scaling(width / w, height / h),
              compose(rotation(-angle),
                      translation(-double(view.width - 1) / 2, -double(view.height - 1) / 2))));
  return view;
}

/// The pairs of poses that are tried, in groups: after each group the best of it may be enough.
std::vector<std::vector<std::array<Pose, 2>>> pose_groups() {
  constexpr Pose full{}, half{0.5, 0.5}, twice{2, 2}, narrow{0.5, 1}, low{1, 0.5};
  std::vector<std::vector<std::array<Pose, 2>>> groups = {
      {{full, full}},
      {{full, half}, {half, full}},
      {{half, twice}, {twice, half}},
      {{full, narrow}, {narrow, full}, {full, low}, {low, full}}};
  for (const int angle : {45, 90, 135, 180}) {
    auto& group = groups.emplace_back();
    for (const int degrees : {angle, -angle}) {
      if (degrees == -180) continue;
      group.push_back({full, {1, 1, degrees}});
      group.push_back({full, {0.5, 0.5, degrees}});
      group.push_back({half, {1, 1, degrees}});
    }
  }
  return groups;
}

}  // namespace

Window whole(const Tensor& pixels) { return {pixels.dim(0), pixels.dim(1), identity_homography()}; }

Tensor look_through(const Window& window, const Tensor& pixels) {
  if (window == whole(pixels)) return pixels;
  const Tensor seen = warp(Pyramid(pixels), window.to_photo, window.height, window.width);
  Tensor result = Tensor::empty(seen.shape(), DType::u8);
  for (int64_t k = 0; k < seen.numel(); ++k)
    result.data<uint8_t>()[k] = uint8_t(std::clamp(seen.data<float>()[k] + 0.5f, 0.0f, 255.0f));
  return result;
}

Tensor on_photo(const Tensor& points, const Window& window, const Tensor& pixels) {
  std::vector<double> kept;
  for (int64_t k = 0; k < points.dim(0); ++k) {
    const double* p = points.data<double>() + 2 * k;
    if (inside(apply(window.to_photo, p[0], p[1]), pixels, 0.5))
      kept.insert(kept.end(), {p[0], p[1]});
  }
  return Tensor::from({int64_t(kept.size()) / 2, 2}, kept);
}

std::optional<std::array<Window, 2>> aligned_windows(const Homography& map, const Tensor& pixels0,
                                                     const Tensor& pixels1) {
  // The middle of what of photo 0 photo 1 shows too.
  Point middle{};
  int count = 0;
  for (int i = 0; i <= cells; ++i)
    for (int j = 0; j <= cells; ++j) {
      const Point p{double(pixels0.dim(1) - 1) * j / cells, double(pixels0.dim(0) - 1) * i / cells};
      if (!inside(apply(map, p[0], p[1]), pixels1)) continue;
      middle = {middle[0] + p[0], middle[1] + p[1]};
      ++count;
    }
  if (count == 0) return std::nullopt;
  middle = {middle[0] / count, middle[1] / count};
  const double side = map[6] * middle[0] + map[7] * middle[1] + map[8];
  if (!(std::abs(side) > 0)) return std::nullopt;
  Homography forth = map;
  for (double& v : forth) v /= side;
  const double area = area_scale(forth, middle);
  if (!(area > 1.0 / 64 && area < 64)) return std::nullopt;
  if (area >= 1) {
    const auto w = window_on(pixels1, pixels0, forth);
    return w ? std::optional(std::array{whole(pixels0), *w}) : std::nullopt;
  }
  Homography back = inverse(forth);
  const Point there = apply(forth, middle[0], middle[1]);
  const double d = back[6] * there[0] + back[7] * there[1] + back[8];
  for (double& v : back) v /= d;
  const auto w = window_on(pixels0, pixels1, back);
  return w ? std::optional(std::array{*w, whole(pixels1)}) : std::nullopt;
}

namespace {

class FirstLook {
 public:
  FirstLook(FeatureExtractor& extract, const Tensor& pixels0, const Tensor& pixels1,
            const AlignOptions& options)
      : extract_(extract), pixels_{pixels0, pixels1}, o_(options) {}

  Alignment run() {
    Surface first;
    const auto consider = [&](const View& v0, const View& v1) {
      const Sight& s = sights_.emplace_back(look(v0, v1));
      improve(first, s.pairs, s.tolerance);
    };
    for (const auto& group : pose_groups()) {
      for (const auto& poses : group) consider(view(0, poses[0]), view(1, poses[1]));
      if (first.agreeing >= o_.enough) break;
    }
    // The map's own windows show more of what agrees, and more exactly.
    for (int round = 0; round < 3 && first.agreeing >= o_.least; ++round) {
      const int64_t before = first.agreeing;
      if (round == 0 && before >= 2 * o_.enough) break;
      consider(see(0, reduced(first.windows[0])), see(1, reduced(first.windows[1])));
      if (double(first.agreeing) < 1.1 * double(before)) break;
    }
    if (first.agreeing < o_.least) first = as_they_are();
    Alignment result{{first}, 0, {}};
    if (first.agreeing > 0 && o_.surfaces > 1 &&
        std::min(covered(first, 0), covered(first, 1)) < o_.covered)
      find_others(result.surfaces);
    for (size_t photo : {0, 1})
      if (const auto found = views_[photo].find(twice); found != views_[photo].end())
        result.features[photo] = found->second.features.dense;
    result.looks = int64_t(sights_.size());
    return result;
  }

 private:
  static constexpr Pose twice{2, 2};
  Surface as_they_are() const {
    return {{whole(pixels_[0]), whole(pixels_[1])}, identity_homography(), 0};
  }
  /// Matches of two views, px of the photos, and how far from a map they may be.
  struct Sight {
    std::vector<PointPair> pairs;
    double tolerance;
  };
  struct View {
    Window window;
    PhotoFeatures features;
  };
  View see(size_t photo, const Window& window) {
    const Tensor seen = look_through(window, pixels_[photo]);
    const Tensor corners =
        detect_keypoints(seen, {.kind = KeypointKind::corners, .max_keypoints = o_.max_keypoints});
    PhotoFeatures f = describe(extract_(seen), on_photo(corners, window, pixels_[photo]));
    if (window != whole(pixels_[photo])) f.dense = {};  // not needed any more
    return {window, f};
  }
  const View& view(size_t photo, const Pose& pose) {
    const auto found = views_[photo].find(pose);
    if (found != views_[photo].end()) return found->second;
    return views_[photo]
        .emplace(pose, see(photo, posed(pixels_[photo], pose, o_.size)))
        .first->second;
  }
  Window reduced(const Window& w) const {
    const auto h = std::max<int64_t>(1, std::llround(double(w.height) * o_.size));
    const auto v = std::max<int64_t>(1, std::llround(double(w.width) * o_.size));
    const double x = double(w.width) / double(v), y = double(w.height) / double(h);
    return {h, v,
            compose(w.to_photo, compose(translation(x / 2 - 0.5, y / 2 - 0.5), scaling(x, y)))};
  }
  Sight look(const View& v0, const View& v1) {
    std::vector<PointPair> pairs;
    for (const Correspondence& m : correspond(v0.features, v1.features,
                                              {.mode = MatchMode::keypoints,
                                              .confidence = false,
                                              .support = LocalSupportOptions{}.least})
                                       .matches) {
      const Point a = apply(v0.window.to_photo, m.x0, m.y0);
      const Point b = apply(v1.window.to_photo, m.x1, m.y1);
      pairs.push_back({a[0], a[1], b[0], b[1]});
    }
    const double pixel =
        std::max(local_scale(v0.window.to_photo, 0, 0), local_scale(v1.window.to_photo, 0, 0));
    return {pairs, o_.threshold * pixel};
  }
  /// Takes the map that explains most of these matches, if it explains more than `best`.
  void improve(Surface& best, const std::vector<PointPair>& pairs, double tolerance) const {
    const TwoView model = estimate_geometry(
        Geometry::homography, pairs,
        {.threshold = tolerance, .max_iterations = 2000, .seed = o_.seed, .best_first = true});
    if (model.inliers <= best.agreeing) return;
    // A map that no window can show, because it mirrors or collapses, explains nothing.
    if (const auto windows = aligned_windows(model.matrix, pixels_[0], pixels_[1]))
      best = {*windows, model.matrix, model.inliers};
  }
  static bool explains(const Homography& map, const PointPair& m, double tolerance) {
    return sampson_distance({.kind = Geometry::homography, .matrix = map, .inlier = {}}, m) <
           tolerance;
  }
  /// Of the corners of one photo that the map takes into the other, the share that has a match
  /// which it explains nearby.
  double covered(const Surface& surface, size_t photo) {
    std::vector<Point> explained;
    for (const Sight& s : sights_)
      for (const PointPair& m : s.pairs)
        if (explains(surface.map, m, s.tolerance))
          explained.push_back(photo == 0 ? Point{m.x0, m.y0} : Point{m.x1, m.y1});
    const Homography there = photo == 0 ? surface.map : inverse(surface.map);
    const Tensor& pixels = pixels_[photo];
    const double near = 0.1 * double(std::max(pixels.dim(0), pixels.dim(1)));
    const View& v = view(photo, {});
    const double* corner = v.features.keypoints.data<double>();
    int64_t shared = 0, close = 0;
    for (int64_t k = 0; k < v.features.keypoints.dim(0); ++k, corner += 2) {
      const Point p = apply(v.window.to_photo, corner[0], corner[1]);
      if (!inside(apply(there, p[0], p[1]), pixels_[1 - photo])) continue;
      ++shared;
      close += std::ranges::any_of(
          explained, [&](const Point& e) { return std::hypot(e[0] - p[0], e[1] - p[1]) < near; });
    }
    return shared > 0 ? double(close) / double(shared) : 1;
  }
  /// Adds the surfaces of the matches that those there are do not explain.
  void find_others(std::vector<Surface>& surfaces) {
    constexpr Pose full{};
    sights_.push_back(look(view(0, full), view(1, twice)));
    sights_.push_back(look(view(0, twice), view(1, full)));
    Homography last = surfaces[0].map;
    // Where that is nearly how the photos lie, its windows bend what is elsewhere for nothing.
    if (alike(last, identity_homography(), middle_of(last))) surfaces.push_back(as_they_are());
    while (surfaces.size() < o_.surfaces) {
      Surface next;
      for (Sight& s : sights_) {
        std::erase_if(s.pairs, [&](const PointPair& m) { return explains(last, m, s.tolerance); });
        improve(next, s.pairs, s.tolerance);
      }
      if (next.agreeing < o_.least) break;
      last = next.map;
      const Point middle = middle_of(last);
      if (std::ranges::none_of(surfaces,
                               [&](const Surface& s) { return alike(last, s.map, middle); }))
        surfaces.push_back(next);
    }
  }
  /// Of the matches that a map explains, in photo 0.
  Point middle_of(const Homography& map) const {
    double x = 0, y = 0, count = 0;
    for (const Sight& s : sights_)
      for (const PointPair& m : s.pairs)
        if (explains(map, m, s.tolerance)) x += m.x0, y += m.y0, ++count;
    return {x / count, y / count};
  }

  FeatureExtractor& extract_;
  std::array<Tensor, 2> pixels_;
  AlignOptions o_;
  std::map<Pose, View> views_[2];
  std::vector<Sight> sights_;
};

}  // namespace

Alignment align(FeatureExtractor& extract, const Tensor& pixels0, const Tensor& pixels1,
                const AlignOptions& options) {
  if (comes_first(pixels0, pixels1)) return FirstLook(extract, pixels0, pixels1, options).run();
  Alignment a = FirstLook(extract, pixels1, pixels0, options).run();
  std::swap(a.features[0], a.features[1]);
  for (Surface& s : a.surfaces) {
    std::swap(s.windows[0], s.windows[1]);
    s.map = inverse(s.map);
  }
  return a;
}

}  // namespace cairn::ucn

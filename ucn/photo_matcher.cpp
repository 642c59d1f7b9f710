#include "ucn/photo_matcher.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/kernels/rows/rows.h"

namespace cairn::ucn {
namespace {

constexpr int clockwise[] = {1, 6, 3, 8};  // EXIF orientations

/// The centre of pixel x of `from` pixels, when they become `to`.
double resized(double x, double from, double to) { return (x + 0.5) * to / from - 0.5; }

/// Places (K x 2) of an image as those of its view.
Tensor in_view(const Tensor& points, const PhotoView& view, const Tensor& pixels) {
  const int orientation = view.turned.orientation;
  const int64_t width = view.turned.stored_width, height = view.turned.stored_height;
  const bool quarter = orientation >= 5;
  const Image back{{},
                   orientation == 6   ? 8
                   : orientation == 8 ? 6
                                      : orientation,
                   quarter ? height : width,
                   quarter ? width : height};
  Tensor result = Tensor::empty(points.shape(), DType::f64);
  for (int64_t k = 0; k < points.dim(0); ++k) {
    const double* p = points.data<double>() + 2 * k;
    const auto w = double(pixels.dim(1)), h = double(pixels.dim(0));
    const auto v =
        back.to_stored(resized(p[0], w, double(width)), resized(p[1], h, double(height)));
    std::copy_n(v.data(), 2, result.data<double>() + 2 * k);
  }
  return result;
}

}  // namespace

Point PhotoView::to_photo(const Point& p) const {
  const auto [x, y] = turned.to_stored(p[0], p[1]);
  return {(x + 0.5) / scale_x - 0.5, (y + 0.5) / scale_y - 0.5};
}

PhotoMatcher::PhotoMatcher(ResUNet& network, const PhotoMatcherOptions& options)
    : options_(options), network_(network), extract_(network) {
  const char* op = "match";
  require(options.rotations == 1 || options.rotations == 2 || options.rotations == 4,
          ErrorId::argument, op, options.rotations, " rotations; there are 1, 2 and 4");
  for (const double s : options.scales)
    require(s > 0 && s <= 8, ErrorId::argument, op, "a scale of ", s, " is not in 0..8");
  if (std::ranges::find(options_.scales, 1.0) == options_.scales.end())
    options_.scales.insert(options_.scales.begin(), 1.0);
}

Photo PhotoMatcher::read(const std::string& path) const {
  return read_photo(path, network_.config().inputs, options_.photo);
}

Tensor PhotoMatcher::detect(const Photo& photo) const {
  if (options_.correspond.mode == MatchMode::all_all) return {};
  return detect_keypoints(photo.pixels, options_.keypoints);
}

PhotoFeatures PhotoMatcher::features_of(const Tensor& pixels, const Tensor& keypoints) {
  const bool keypoints_only = options_.correspond.mode == MatchMode::keypoints;
  const int64_t h = pixels.dim(0), w = pixels.dim(1), side = options_.tile;
  if (!keypoints_only || side == 0 ||
      h * w <= (side + 2 * tile_margin) * (side + 2 * tile_margin)) {
    const int64_t bytes = 4 * h * w * network_.config().outputs, most = int64_t{4} << 30;
    require(bytes <= most, ErrorId::usage, "match", "the features of ", w, " x ", h,
            " px would take ", bytes >> 20,
            " MB. Hint: --mode keypoints, which sees large photos in "
            "tiles, or --max-size");
    const Tensor dense = extract_(pixels);
    return keypoints.defined() ? describe(dense, keypoints) : PhotoFeatures{dense, {}, {}};
  }
  const int64_t n = keypoints.dim(0), c = network_.config().outputs;
  Tensor descriptors = Tensor::zeros({n, c});
  extract_.in_tiles(pixels, side, [&](const Tensor& features, const Tile& t) {
    std::vector<int64_t> inside;
    std::vector<double> places;
    for (int64_t k = 0; k < n; ++k) {
      const double x = keypoints.data<double>()[2 * k], y = keypoints.data<double>()[2 * k + 1];
      const auto column = std::clamp<int64_t>(std::llround(x), 0, w - 1);
      const auto row = std::clamp<int64_t>(std::llround(y), 0, h - 1);
      if (column < t.left || column >= t.right || row < t.top || row >= t.bottom) continue;
      inside.push_back(k);
      places.insert(places.end(), {x - double(t.x), y - double(t.y)});
    }
    const Tensor rows = describe(features, Tensor::from({int64_t(inside.size()), 2}, places))
                            .descriptors.to(Device::cpu);
    for (size_t k = 0; k < inside.size(); ++k)
      std::copy_n(rows.data<float>() + int64_t(k) * c, c,
                  descriptors.data<float>() + inside[k] * c);
  });
  return {{}, keypoints, descriptors.to(network_.device())};
}

PreparedPhoto PhotoMatcher::prepare(Photo photo, Tensor keypoints, bool second) {
  PreparedPhoto prepared{std::move(photo), std::move(keypoints), {}};
  const Tensor& pixels = prepared.photo.pixels;
  for (const double scale : options_.scales)
    for (int turn = 0; turn < 4; turn += 4 / options_.rotations) {
      if (turn > 0 && !second) break;
      const auto extent = [&](int axis) {
        return std::max<int64_t>(1, std::llround(scale * double(pixels.dim(axis))));
      };
      PhotoView view;
      view.turned = oriented(resize_area(pixels, extent(0), extent(1)), clockwise[turn]);
      view.scale_x = double(extent(1)) / double(pixels.dim(1));
      view.scale_y = double(extent(0)) / double(pixels.dim(0));
      const Tensor places = prepared.keypoints.defined() ? in_view(prepared.keypoints, view, pixels)
                                                         : prepared.keypoints;
      view.features = features_of(view.turned.pixels, places);
      view.turned.pixels = {};
      prepared.views.push_back(std::move(view));
    }
  return prepared;
}

PhotoMatcher::Best PhotoMatcher::match_views(std::span<const PhotoView> views0,
                                             std::span<const PhotoView> views1) const {
  Best best{{}, nullptr, nullptr};
  for (const PhotoView& v0 : views0) {
    if (v0.turned.orientation != 1) continue;  // turning one is enough
    for (const PhotoView& v1 : views1) {
      // Both reduced alike tells nothing new.
      if (best.view0 && v1.scale_x < 1 && v0.scale_x < 1) continue;
      Correspondences found = correspond(v0.features, v1.features, options_.correspond);
      if (best.view0 && found.matches.size() <= best.found.matches.size()) continue;
      best = {std::move(found), &v0, &v1};
    }
  }
  return best;
}

PhotoMatches PhotoMatcher::match(const PreparedPhoto& photo0, const PreparedPhoto& photo1) const {
  auto [found, view0, view1] = match_views(photo0.views, photo1.views);
  PhotoMatches best;
  best.found = std::move(found);
  best.scale0 = view0->scale_x;
  best.scale1 = view1->scale_x;
  best.rotation = int(std::ranges::find(clockwise, view1->turned.orientation) - clockwise) * 90;
  for (Correspondence& m : best.found.matches) {
    const auto place = [](const PreparedPhoto& p, const PhotoView& v, double& x, double& y) {
      const Point q = v.to_photo({x, y});
      x = resized(q[0], double(p.photo.pixels.dim(1)), double(p.photo.original.width()));
      y = resized(q[1], double(p.photo.pixels.dim(0)), double(p.photo.original.height()));
      return p.photo.original.to_stored(x, y);
    };
    const auto a = place(photo0, *view0, m.x0, m.y0), b = place(photo1, *view1, m.x1, m.y1);
    best.stored.push_back({a[0], a[1], b[0], b[1]});
  }
  return best;
}

}  // namespace cairn::ucn

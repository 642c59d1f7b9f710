// match --draw: the pictures of two photos.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "ucn/match_photos.h"
#include "ucn/picture.h"

namespace cairn {

/// Kinds of pictures, and the files they are written to.
inline constexpr std::pair<const char*, const char*> picture_files[] = {
    {"points", "matches.png"},
    {"lines", "lines.png"},
    {"density", "density.png"},
    {"overlay", "overlay.png"},
    {"checkerboard", "checkerboard.png"},
    {"features", "features.png"}};

inline std::string picture_file(const std::string& kind) {
  const auto at = std::ranges::find(picture_files, kind, [](const auto& p) { return p.first; });
  return at->second;
}

/// On the upright originals, of a size at which a picture stays handy and its legend legible.
inline ucn::ShownPair shown_pair(const ucn::MatchedPhotos& m) {
  const auto shown = [](const ucn::Photo& p) {
    const int64_t h = p.original.height(), w = p.original.width(), side = std::max(h, w);
    const int64_t to = std::clamp<int64_t>(side, 480, 1200);
    if (side == to) return p.original.pixels;
    return resize_area(p.original.pixels, std::max<int64_t>(1, h * to / side),
                       std::max<int64_t>(1, w * to / side));
  };
  const ucn::Photo &p0 = m.photo0.photo, &p1 = m.photo1.photo;
  ucn::ShownPair pair{shown(p0), shown(p1), {}, m.file.geometry.inlier};
  const auto moved = [](double x, double y, const ucn::Photo& p, const Tensor& image) {
    return Point{(x + 0.5) * double(image.dim(1)) / double(p.original.width()) - 0.5,
                 (y + 0.5) * double(image.dim(0)) / double(p.original.height()) - 0.5};
  };
  for (const ucn::Correspondence& c : m.found.found.matches) {
    const Point a = moved(c.x0, c.y0, p0, pair.image0), b = moved(c.x1, c.y1, p1, pair.image1);
    pair.matches.push_back({a[0], a[1], b[0], b[1]});
  }
  return pair;
}

/// The pictures of `kinds` with their legends, in that order; none where no homography fits.
inline std::vector<Tensor> pictures_of(const std::vector<std::string>& kinds,
                                       const ucn::MatchedPhotos& m, ucn::ResUNet& network) {
  using namespace ucn;
  const ShownPair pair = shown_pair(m);
  const auto features = [&](const Photo& photo) {
    const Photo small = as_photo(photo.original, network.config().inputs, {.max_size = 640});
    return extract_features(network, small.pixels).to(Device::cpu).to(DType::f32);
  };
  std::optional<Homography> plane;
  if (std::ranges::count(kinds, "overlay") + std::ranges::count(kinds, "checkerboard") > 0)
    plane = common_plane(pair);
  std::vector<Tensor> pictures;
  for (const std::string& kind : kinds) {
    std::optional<Picture> p;
    if (kind == "points") p = draw_points(pair);
    if (kind == "lines") p = draw_lines(pair);
    if (kind == "density") p = draw_density(pair);
    if (kind == "features") p = draw_features(features(m.photo0.photo), features(m.photo1.photo));
    if (kind == "overlay" && plane) p = draw_overlay(pair, *plane);
    if (kind == "checkerboard" && plane) p = draw_checkerboard(pair, *plane);
    pictures.push_back(p ? with_legend(*p) : Tensor());
  }
  return pictures;
}

}  // namespace cairn

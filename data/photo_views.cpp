#include "data/photo_views.h"

#include <algorithm>
#include <cmath>

namespace cairn {
namespace {

/// A window of a photo: pixel v of the view lies at center + (v - middle) zoom.
struct Window {
  double zoom, x, y;          ///< the photo's pixels per pixel of the view; its centre
  double middle_x, middle_y;  ///< of the view
  Homography to_photo() const {
    return compose(translation(x, y),
                   compose(scaling(zoom, zoom), translation(-middle_x, -middle_y)));
  }
  Point to_view(const Point& p) const {
    return {(p[0] - x) / zoom + middle_x, (p[1] - y) / zoom + middle_y};
  }
};

}  // namespace

void check(const PhotoViewOptions& o) {
  require(o.height >= 8 && o.width >= 8 && o.max_zoom >= 1 && o.correspondences >= 0,
          ErrorId::argument, "photo_views", "views of ", o.width, " x ", o.height, " at a zoom of ",
          o.max_zoom, ", with ", o.correspondences, " correspondences make no sense");
}

Pair cut_pair(const Pyramid& photo0, const Pyramid& photo1,
              const std::vector<std::array<double, 4>>& matches, const PhotoViewOptions& o,
              Random& random, const Follow& follow) {
  const int64_t h = o.height, w = o.width;
  const Pyramid* photos[] = {&photo0, &photo1};
  double zoom = std::exp(random.uniform(0, std::log(o.max_zoom)));
  for (const Pyramid* p : photos)
    zoom = std::min({zoom, double(p->width()) / double(w), double(p->height()) / double(h)});
  const auto inside = [&](const Point& p) {
    return p[0] >= 0 && p[1] >= 0 && p[0] <= double(w - 1) && p[1] <= double(h - 1);
  };
  std::array<Window, 2> windows{};
  std::vector<std::array<double, 4>> seen;
  constexpr int attempts = 8, enough = 32;
  for (int attempt = 0; attempt < attempts && int(seen.size()) < enough; ++attempt) {
    const auto& about = matches[size_t(random.below(int64_t(matches.size())))];
    std::array<Window, 2> tried{};
    for (size_t k = 0; k < 2; ++k) {
      const auto center = [&](double at, int64_t side, int64_t view) {
        const double half = zoom * double(view) / 2;
        const double moved = at + random.uniform(-0.5, 0.5) * half;
        return std::clamp(moved, half - 0.5, std::max(half, double(side) - half) - 0.5);
      };
      tried[k] = {zoom, center(about[2 * k], photos[k]->width(), w),
                  center(about[2 * k + 1], photos[k]->height(), h), double(w - 1) / 2,
                  double(h - 1) / 2};
    }
    std::vector<std::array<double, 4>> found;
    for (const auto& [x0, y0, x1, y1] : matches) {
      const Point v0 = tried[0].to_view({x0, y0}), v1 = tried[1].to_view({x1, y1});
      if (inside(v0) && inside(v1)) found.push_back({v0[0], v0[1], v1[0], v1[1]});
    }
    if (attempt > 0 && found.size() <= seen.size()) continue;
    seen = std::move(found);
    windows = tried;
  }
  if (follow) {
    seen.clear();
    const Homography to_photo = windows[0].to_photo();
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) {
        const auto there = follow(apply(to_photo, double(x), double(y)));
        if (!there) continue;
        const Point v = windows[1].to_view(*there);
        if (inside(v)) seen.push_back({double(x), double(y), v[0], v[1]});
      }
  }

  Pair pair;
  const auto view = [&](size_t k) {
    return network_input(
        change_appearance(warp(*photos[k], windows[k].to_photo(), h, w), o.photometric, random));
  };
  pair.image0 = view(0);
  pair.image1 = view(1);
  set_positions(pair, seen, o.correspondences, random);
  const auto unknown = [&](size_t k) {
    Tensor mask = Tensor::full({h, w}, 1, DType::u8);
    for (const auto& s : seen)
      mask.data<uint8_t>()[std::lround(s[2 * k + 1]) * w + std::lround(s[2 * k])] = 0;
    return mask;
  };
  pair.unknown0 = unknown(0);
  pair.unknown1 = unknown(1);
  return pair;
}

}  // namespace cairn

#include "data/geometry/views.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace cairn {
namespace {

struct Box {
  double left = INFINITY, top = INFINITY, right = -INFINITY, bottom = -INFINITY;
};

/// The extent of a view's pixels, their outer halves included. (The denominator is positive all
/// over the view, so the image of the rectangle is the quadrangle of its corners.)
Box extent(const Homography& h, const ViewOptions& o) {
  Box box;
  for (const double x : {-0.5, double(o.width) - 0.5})
    for (const double y : {-0.5, double(o.height) - 0.5}) {
      const auto [px, py] = apply(h, x, y);
      box = {std::min(box.left, px), std::min(box.top, py), std::max(box.right, px),
             std::max(box.bottom, py)};
    }
  return box;
}

/// A view's deformation: its centre goes to (0, 0), its scale stays about 1.
Homography deformation(const ViewOptions& o, double difficulty, Random& random) {
  const auto within = [&](double limit) { return random.uniform(-limit, limit) * difficulty; };
  const double angle = within(o.rotation / 2) * std::numbers::pi / 180;
  const double zoom = std::exp(within(std::log(o.scale) / 2));
  const double stretch = std::exp(within(std::log(o.anisotropy) / 2));
  const double direction = random.uniform(0, std::numbers::pi);
  const double half = double(std::max(o.width, o.height)) / 2;
  Homography tilt = identity_homography();
  tilt[6] = within(o.perspective / 2) / half;
  tilt[7] = within(o.perspective / 2) / half;

  Homography h = compose(tilt, translation(-double(o.width - 1) / 2, -double(o.height - 1) / 2));
  h = compose(
      compose(rotation(-direction), compose(scaling(stretch, 1 / stretch), rotation(direction))),
      h);
  return compose(scaling(zoom, zoom), compose(rotation(angle), h));
}

double overlap(const Homography& view0_to_view1, const ViewOptions& o) {
  constexpr int grid = 16;
  int inside = 0;
  for (int i = 0; i < grid; ++i)
    for (int j = 0; j < grid; ++j) {
      const auto [x, y] = apply(view0_to_view1, double(o.width - 1) * j / (grid - 1),
                                double(o.height - 1) * i / (grid - 1));
      inside += x >= 0 && y >= 0 && x <= double(o.width - 1) && y <= double(o.height - 1);
    }
  return double(inside) / (grid * grid);
}

void check(int64_t photo_height, int64_t photo_width, const ViewOptions& o) {
  const char* op = "sample_views";
  require(o.width >= 8 && o.height >= 8, ErrorId::argument, op, "a view of ", o.width, " x ",
          o.height, " pixels is too small, at least 8 x 8");
  require(photo_width >= 8 && photo_height >= 8, ErrorId::argument, op, "a photo of ", photo_width,
          " x ", photo_height, " pixels is too small, at least 8 x 8");
  require(o.difficulty >= 0 && o.difficulty <= 2, ErrorId::argument, op, "difficulty is ",
          o.difficulty, ", not in 0..2");
  require(o.scale >= 1 && o.anisotropy >= 1, ErrorId::argument, op, "scale is ", o.scale,
          " and anisotropy ", o.anisotropy, ", but ratios are at least 1");
  require(o.perspective >= 0 && o.perspective * o.difficulty < 1, ErrorId::argument, op,
          "perspective is ", o.perspective, " at difficulty ", o.difficulty,
          ", but their product lies in 0..1, or the horizon comes into view");
  require(o.rotation >= 0 && o.rotation <= 360, ErrorId::argument, op, "rotation is ", o.rotation,
          ", not in 0..360");
  require(o.translation >= 0, ErrorId::argument, op, "translation is ", o.translation,
          ", not at least 0");
  require(o.bend >= 0 && o.bend * o.difficulty < 1, ErrorId::argument, op, "bend is ", o.bend,
          " at difficulty ", o.difficulty, ", but their product lies in 0..1, or views would fold");
  require(0 < o.min_coverage && o.min_coverage <= o.max_coverage && o.max_coverage <= 1,
          ErrorId::argument, op, "coverage is ", o.min_coverage, "..", o.max_coverage,
          ", not within 0..1");
  require(o.min_overlap >= 0 && o.min_overlap <= 1, ErrorId::argument, op, "min_overlap is ",
          o.min_overlap, ", not in 0..1");
}

}  // namespace

Views sample_views(int64_t photo_height, int64_t photo_width, const ViewOptions& o,
                   Random& random) {
  check(photo_height, photo_width, o);
  const double whole =
      std::min(double(photo_width) / double(o.width), double(photo_height) / double(o.height));
  constexpr int attempts = 48;
  for (int attempt = 0;; ++attempt) {
    // A few draws at full difficulty, then less and less; the last has none and overlaps fully.
    const double ease = std::clamp(double(attempts - attempt) / (attempts - 8), 0.0, 1.0);
    const double difficulty = o.difficulty * ease;
    double low = whole * o.min_coverage, high = whole * o.max_coverage;
    low = std::max(low, std::min(1.0, high));  // photo pixels per view pixel
    double scale = low * std::exp(random.uniform() * std::log(high / low));

    std::array<Homography, 2> h;
    std::array<Box, 2> box;
    std::array<double, 2> local;
    for (size_t v = 0; v < 2; ++v) {
      h[v] = deformation(o, difficulty, random);
      box[v] = extent(h[v], o);
      local[v] = local_scale(h[v], double(o.width - 1) / 2, double(o.height - 1) / 2);
      // Both views shrink alike until both fit, with the margin below on each side.
      scale =
          std::min({scale, double(photo_width - 3) / (box[v].right - box[v].left + 3 * local[v]),
                    double(photo_height - 3) / (box[v].bottom - box[v].top + 3 * local[v])});
    }
    Point centre{};
    for (size_t v = 0; v < 2; ++v) {
      // Centres for which the view lies inside the photo, coarse levels of warp() included.
      const double margin = std::max(1.0, 1.5 * scale * local[v]);
      const double left = margin - scale * box[v].left, top = margin - scale * box[v].top;
      const double right = double(photo_width - 1) - margin - scale * box[v].right;
      const double bottom = double(photo_height - 1) - margin - scale * box[v].bottom;
      if (v == 0) {
        centre = {random.uniform(left, right), random.uniform(top, bottom)};
      } else {
        const double reach = o.translation * difficulty * scale;
        centre[0] += reach * double(o.width) * random.uniform(-1, 1);
        centre[1] += reach * double(o.height) * random.uniform(-1, 1);
        centre = {std::clamp(centre[0], left, std::max(left, right)),
                  std::clamp(centre[1], top, std::max(top, bottom))};
      }
      h[v] = compose(translation(centre[0], centre[1]), compose(scaling(scale, scale), h[v]));
    }
    Views views{h[0], h[1], overlap(compose(inverse(h[1]), h[0]), o), {}};
    if (views.overlap < o.min_overlap && attempt < attempts) continue;
    if (o.bend > 0) {
      const double strength = o.bend * difficulty * random.uniform();
      views.bend = Bend(o.height, o.width, strength, random);
    }
    return views;
  }
}

}  // namespace cairn

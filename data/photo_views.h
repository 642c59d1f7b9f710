// From two photos of one place to a pair of views.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "data/pairs.h"
#include "data/photometric.h"
#include "data/warp.h"

namespace cairn {

struct PhotoViewOptions {
  int64_t height = 128, width = 128;  ///< of the views cut from the photos
  double max_zoom = 2;                ///< a view's pixel spans up to so many of its photo's
  Photometric photometric = {};       ///< of each view apart
  int64_t correspondences = 4096;     ///< at most; 0: all
};
/// Throws ErrorId::argument for options that make no sense.
void check(const PhotoViewOptions& options);

/// From a place in photo 0 to the one in photo 1 that shows the same, if that is known.
using Follow = std::function<std::optional<Point>(const Point&)>;

/// Views around one of the places (x0, y0, x1, y1) that both photos show, of one scale, inside the
/// photos where these are large enough. The correspondences are these places or, where `follow` is
/// given, those of each pixel of view 0; all other pixels are unknown. matches: at least one.
Pair cut_pair(const Pyramid& photo0, const Pyramid& photo1,
              const std::vector<std::array<double, 4>>& matches, const PhotoViewOptions& options,
              Random& random, const Follow& follow = {});

}  // namespace cairn

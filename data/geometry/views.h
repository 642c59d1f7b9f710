// Two views of one photo, as two cameras would see a poster of it.
#pragma once

#include <cstdint>

#include "data/geometry/bend.h"
#include "data/geometry/homography.h"
#include "tensor/random.h"

namespace cairn {

/// How far two views may differ. Each view takes half of every range, drawn uniformly (scales and
/// ratios: their logarithm), so that the two together stay within it.
struct ViewOptions {
  int64_t height = 128, width = 128;
  double difficulty = 1;      ///< multiplies every range below (1: as they stand, 0: equal views)
  double rotation = 45;       ///< largest angle between the views, degrees
  double scale = 2;           ///< largest ratio of the views' scales
  double anisotropy = 1.5;    ///< largest ratio of stretches in one view's two directions
  double perspective = 0.25;  ///< change of scale from a view's centre to its edge
  double translation = 0.3;   ///< shift between the views' centres, of the view's extent
  double bend = 0;            ///< of view 1, see data/geometry/bend.h; 0.3 is much
  double min_coverage = 0.3;  ///< a view spans between this part of the photo ...
  double max_coverage = 0.9;  ///< ... and this, unless that would enlarge the photo
  double min_overlap = 0.35;  ///< part of view 0's pixels that view 1 sees too, at least
};

struct Views {
  Homography view0_to_photo, view1_to_photo;
  double overlap = 0;  ///< part of view 0 that lies in view 1, measured on a 16 x 16 grid
  Bend bend;           ///< of view 1; its share of the overlap is not measured
};

/// Draws two views of a photo of that size. All of both lies inside the photo, with room for the
/// filter of warp(); a bent one may show its border smeared. Ranges that make too little overlap
/// are drawn again, smaller and smaller, so that there always is a result. Throws ErrorId::argument
/// for a photo or view below 8 x 8 pixels and options that make no sense.
Views sample_views(int64_t photo_height, int64_t photo_width, const ViewOptions& options,
                   Random& random);

}  // namespace cairn

// A photo's features on a coarse grid, small enough to be carried by a page.
#pragma once

#include <span>
#include <vector>

#include "ucn/photo_matcher.h"

namespace cairn::ucn {

/// Features at the centres of cells that cover the photo, `cells` of them along its longer side:
/// rows x columns x C f32, of unit length, zeros where the view does not look. Undefined without
/// dense features.
Tensor coarse_features(const PreparedPhoto& photo, const PhotoView& view, int64_t cells);

/// The same in few directions, as bytes of length 127.
struct FeatureGrid {
  int64_t rows = 0, columns = 0, channels = 0;
  std::vector<int8_t> values;
};
/// The directions are those in which all of these vary most, so that cosines stay what they are,
/// nearly. Undefined ones become empty grids.
std::vector<FeatureGrid> feature_grids(std::span<const Tensor> coarse, int64_t channels = 24);

}  // namespace cairn::ucn

// Depth maps: how far away what each pixel of a photo shows is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "data/colmap/model.h"
#include "data/geometry/homography.h"
#include "tensor/tensor.h"

namespace cairn {

/// The file of the photo `name` in a folder of depth maps, empty if there is none: NAME
/// .geometric.bin or .photometric.bin (COLMAP's), or .h5 in the place of the name's extension
/// (MegaDepth's).
std::string find_depth_map(const std::string& folder, const std::string& name);

/// H x W f32: depths along the camera's axis, in the reconstruction's unit; 0 or less and NaN where
/// not known. Throws ErrorId::io and ErrorId::format.
Tensor read_depth_map(const std::string& path);
/// COLMAP's form: "W&H&1&", then W x H f32, row by row.
Tensor parse_depth_map(std::span<const uint8_t> bytes, const std::string& name);

/// A photo of which it is known how far away things are. The map covers the whole photo, at any
/// size.
struct DepthView {
  const Camera* camera;
  const PosedImage* image;
  const Tensor* depth;

  /// The point of the world that the pixel (x, y) of the camera shows; none where the depth is not
  /// known or changes by more than 5 % to the next pixel, as on the outline of things.
  std::optional<std::array<double, 3>> seen_at(const Point& pixel) const;
};

/// Where view 1 shows what view 0 shows at a pixel, both in the cameras' pixels; none where that is
/// not known, or something is in the way: what view 1 shows there leads back to another place,
/// more than `max_error` px away.
std::optional<Point> follow_depth(const DepthView& view0, const DepthView& view1,
                                  const Point& pixel, double max_error);

}  // namespace cairn

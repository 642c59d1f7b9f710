// How two photos lie to each other, and both resampled so that what they share looks alike.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "ucn/geometry/two_view.h"
#include "ucn/photo.h"

namespace cairn::ucn {

/// A window on a photo: height x width pixels, each at a place of the photo's.
struct Window {
  int64_t height, width;
  Homography to_photo;
  bool operator==(const Window&) const = default;
};
/// The photo as it is.
Window whole(const Tensor& pixels);
/// What the network would see through it: H x W x C u8 of a photo's pixels. Beyond the photo's
/// border is the border.
Tensor look_through(const Window& window, const Tensor& pixels);

/// Those of the points (K x 2 f64, px of the window) that show the photo and not what lies beyond.
Tensor on_photo(const Tensor& points, const Window& window, const Tensor& pixels);

/// Windows on two photos in which what both show has about one scale and orientation: one is the
/// whole photo as it is, the other the other photo seen through `map`, px of photo 0 to px of photo
/// 1, at the lower of the two resolutions. None where the map mirrors, or scales by more than 8
/// one way or the other.
std::optional<std::array<Window, 2>> aligned_windows(const Homography& map, const Tensor& pixels0,
                                                     const Tensor& pixels1);

struct AlignOptions {
  double size = 0.5;             ///< of the photos in the first look
  int64_t max_keypoints = 2000;  ///< corners of each view
  double threshold = 3;          ///< px of the views: how far a match may be from the map
  int64_t least = 10;            ///< matches that a map must explain
  int64_t enough = 20;           ///< after a group of views that reaches so many no more are tried
  double covered = 0.5;          ///< of the corners that both show; below it others are looked for
  size_t surfaces = 4;           ///< at most
  uint64_t seed = 0;
};

/// A part of the scene that one map explains.
struct Surface {
  std::array<Window, 2> windows;  ///< in which it looks alike
  Homography map;                 ///< px of photo 0 to px of photo 1
  int64_t agreeing = 0;           ///< matches of the first look that the map explains
};

struct Alignment {
  /// The first is that of most matches at half the size. The photos as they are, whole, with
  /// nothing agreeing: where no map was found, alone; where the first is nearly the identity and
  /// covers little, second.
  std::vector<Surface> surfaces;
  int64_t looks = 0;  ///< pairs of views that were tried
  /// H x W x C, of the whole photos, where the first look computed them.
  std::array<Tensor, 2> features;
};

/// A first look at two photos, small: corners of both are matched by their features, as the photos
/// are, then with one reduced, turned or foreshortened, until a homography explains enough of those
/// that neighbours confirm (locally_supported), which is then found again through its own windows
/// (the simulated views of ASIFT, J.-M. Morel and G. Yu, SIAM J. Imaging Sciences 2009, in the
/// order in which photos are likely to need them). Where that map explains little of what both
/// photos show, as along a street, whose near houses grow faster than its far end, other maps are
/// found of the matches that are left, with one photo seen twice as large, and kept where they
/// scale or turn otherwise than those before. Swapping the photos swaps the result.
Alignment align(FeatureExtractor& extract, const Tensor& pixels0, const Tensor& pixels1,
                const AlignOptions& options);

}  // namespace cairn::ucn

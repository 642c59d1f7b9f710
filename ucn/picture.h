// Pictures of matches, with legends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/draw.h"
#include "data/geometry/homography.h"
#include "ucn/geometry/two_view.h"

namespace cairn::ucn {

/// Two photos, H x W x 1|3 u8, and matches in their pixels.
struct ShownPair {
  Tensor image0, image1;
  std::vector<PointPair> matches;
  std::vector<uint8_t> inlier = {};  ///< one per match; empty: not verified, and all are shown
};

/// H x W x 3 u8, and what the colours mean.
struct Picture {
  Tensor image;
  struct Entry {
    std::vector<Color> colors;  ///< one: a swatch; several: a bar from the first to the last
    std::string text;
  };
  std::vector<Entry> legend;
};
/// The picture with its legend below.
Tensor with_legend(const Picture& picture);

// The first four show the photos side by side, four black columns between.

/// Inliers as discs at both ends, coloured by their place in photo 0.
Picture draw_points(const ShownPair& pair);
/// Lines between the ends, inliers above outliers; of very many an even choice.
Picture draw_lines(const ShownPair& pair);
/// How many inliers lie near each place.
Picture draw_density(const ShownPair& pair);
/// H x W x C features of both photos: their first three principal components, which both share, as
/// lightness, blue against yellow, and red against green.
Picture draw_features(const Tensor& features0, const Tensor& features1);

/// The homography that at least half of the matches obey, px of image 0 to px of image 1, if there
/// is one.
std::optional<Homography> common_plane(const ShownPair& pair);
/// Photo 0 in yellow, and in blue photo 1 as photo 0's camera would see it: gray where they agree,
/// dark where photo 1 shows nothing.
Picture draw_overlay(const ShownPair& pair, const Homography& map);
/// The same two in the fields of a checkerboard.
Picture draw_checkerboard(const ShownPair& pair, const Homography& map);

}  // namespace cairn::ucn

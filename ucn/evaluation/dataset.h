// Pairs of photos whose geometry is known.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/homography_pairs.h"
#include "ucn/geometry/two_view.h"

namespace cairn::ucn {

/// Coordinates are of the stored pixel grids.
struct KnownPair {
  std::string photo0, photo1;            ///< paths
  std::string name;                      ///< for people and files: "graf-img1_graf-img2"
  std::optional<Homography> homography;  ///< x1 ~ H x0
  struct Pose {
    std::array<Intrinsics, 2> cameras;
    RelativePose pose;  ///< X1 = R X0 + t
  };
  std::optional<Pose> pose;
  /// Photos of one place under other light, from one viewpoint. Keypoints on a grid or at all
  /// pixels find these by standing still.
  bool illumination = false;
  Tensor image0, image1;             ///< H x W x C u8, where a pair is made, not read
  int rotation0 = 0, rotation1 = 0;  ///< quarter turns, clockwise, by which a photo is turned
};

struct KnownPairs {
  std::string name;
  std::vector<KnownPair> pairs;
};

/// The sets at `path`:
/// - a list, one pair a line, '#' before a comment, paths relative to its folder:
///   `photo0 photo1 h11 .. h33`; `photo0 photo1 K0(9) K1(9) T_0to1(16)`; or SuperGlue's
///   `photo0 photo1 rotation0 rotation1 K0(9) K1(9) T_0to1(16)`;
/// - a folder with such lists (pairs_homography.txt, pairs_pose.txt);
/// - HPatches or Oxford: a folder of sequences with 1.ppm .. 6.ppm (or img1.png ..) and H_1_2 ..
/// (or
///   H1to2p ..); those named i_... are illumination;
/// - a folder of such folders.
/// Throws ErrorId::io and ErrorId::format, naming the file; a folder without any gives none.
std::vector<KnownPairs> find_known_pairs(const std::string& path);

/// Pairs of views (options.views) of the photos in a folder, whose homography is exact, as
/// HomographyPairs makes them for training; the same for a seed. Throws as HomographyPairs.
KnownPairs warped_pairs(const std::string& folder, int64_t count,
                        const HomographyPairsOptions& options, uint64_t seed);

}  // namespace cairn::ucn

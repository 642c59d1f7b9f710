// From two dense feature maps to matches.
#pragma once

#include <string>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace cairn::ucn {

/// Which pixels are matched with which.
enum class MatchMode {
  keypoints,  ///< keypoints of image 0 with keypoints of image 1
  all,        ///< keypoints of image 0 with every pixel of image 1
  all_all,    ///< every pixel with every pixel
};
/// "keypoints", "all", "all_all"; throws ErrorId::argument for another name.
MatchMode match_mode(const std::string& name);

struct MatcherOptions {
  MatchMode mode = MatchMode::keypoints;
  /// Keep a match when the nearest neighbour of its end, searched back in image 0 (among the
  /// keypoints in mode keypoints, else among all pixels), lies less than `radius` px from its
  /// start.
  bool reciprocity = true;
  /// Start the search back from the end moved by a random +-1 px in x and in y (clipped to the
  /// image), so that only matches whose surroundings agree survive.
  bool stability = false;
  double radius = 4;  ///< px, in the feature maps
  /// Keep a match when nearest / second nearest distance (not squared) is below it; >= 1: off.
  double ratio = 1;
  /// Modes all and all_all on the CPU, without the ratio test: search coarse to fine, from a grid
  /// with this many px between its points (4: about ten times as fast). 0: search exactly.
  int64_t coarse = 0;
  bool measure_exact = true;  ///< of a search coarse to fine, MatchResult::exact
};

/// What the matcher sees of one photo, all on one device but for the keypoints, on the CPU.
struct PhotoFeatures {
  Tensor dense;        ///< H x W x C, of unit length; undefined where keypoints are all there is
  Tensor keypoints;    ///< K x 2 (x, y) f64, px of `dense`
  Tensor descriptors;  ///< K x C, of unit length
  Tensor scores{};     ///< score_map(), on the CPU, where keypoints are its choice
  int64_t extent = 0;  ///< the longer side, px of `dense`; 0: not known (no support)
};
/// Features at keypoints, K x 2: at whole pixels (i64), or interpolated and of unit length again
/// (f64). Throws ErrorId::shape, and ErrorId::index for a keypoint outside.
PhotoFeatures describe(const Tensor& dense, const Tensor& keypoints);

struct Match {
  double x0, y0, x1, y1;
  double score;                  ///< cosine of the two features
  bool kept;                     ///< by every test
  int64_t row0 = -1, row1 = -1;  ///< numbers of its ends: of keypoints or, row-major, of pixels
};

struct MatchResult {
  std::vector<Match> matches;  ///< one per start, kept or not
  int64_t after_ratio = 0;     ///< how many passed the ratio test
  int64_t kept = 0;            ///< and then the search back
  /// Which share of (at most 1000, evenly spaced) ends is what the exact search finds; 1 where it
  /// was used.
  double exact = 1;
};

/// `noise`: the stability test's moves, one row (dx, dy) per match, i64; drawn from `random` if
/// undefined. Distance matrices are never stored. Throws ErrorId::shape, ErrorId::argument.
MatchResult match(const PhotoFeatures& photo0, const PhotoFeatures& photo1,
                  const MatcherOptions& options, Random& random, const Tensor& noise = {});
/// The same of dense features and keypoints, which are ignored where the mode takes all pixels.
MatchResult match(const Tensor& features0, const Tensor& features1, const Tensor& keypoints0,
                  const Tensor& keypoints1, const MatcherOptions& options, Random& random,
                  const Tensor& noise = {});

/// How well features find known correspondences (K x 2 f64 positions, rounded to pixels), by
/// nearest neighbour over all pixels, within `radius` px; as Open-UCN validates.
struct HitRatios {
  double hit = 0;              ///< the nearest pixel of image 1 lies near the true match
  double reciprocity = 0;      ///< the match of the match lies near the start
  double reciprocity_hit = 0;  ///< of the reciprocal ones, the share that hit
};
HitRatios hit_ratios(const Tensor& features0, const Tensor& features1, const Tensor& positions0,
                     const Tensor& positions1, double radius = 4);

}  // namespace cairn::ucn

// Correspondences worth trusting: the search both ways, filters, and sub-pixel positions.
#pragma once

#include <string>
#include <vector>

#include "ucn/geometry/two_view.h"
#include "ucn/matcher.h"

namespace cairn::ucn {

struct CorrespondOptions {
  MatchMode mode = MatchMode::all;
  bool reciprocity = true;
  /// Mode all: px, how near the search back must return. The other modes are strictly mutual.
  double radius = 4;
  bool stability = false;      ///< as MatcherOptions
  uint64_t seed = 0;           ///< of the stability test
  int64_t coarse = 0;          ///< as MatcherOptions
  bool measure_exact = true;   ///< as MatcherOptions
  double min_similarity = -1;  ///< cosine
  /// Distance to the match / to the nearest rival, in both photos, must be below it; 1: off. Rivals
  /// are the other keypoints or, where pixels are searched, those of a grid, at least
  /// `rival_radius` px away.
  double ratio = 1;
  /// The product over both photos of exp(s / T) / (exp(s / T) + sum over rivals of exp(r / T)),
  /// with cosines s and r: dual softmax (I. Rocco et al., "Neighbourhood consensus networks",
  /// NeurIPS 2018). 0: off.
  double min_probability = 0;
  double temperature = 0.05;
  double rival_radius = 8;  ///< px
  bool subpixel = true;     ///< move ends to the peak of the similarity around them
  /// Judge matches (Correspondence::confidence). In mode all_all, where that takes long, only
  /// beside the ratio or the probability.
  bool confidence = true;
  /// Others nearby that must agree with a match (locally_supported); 0: off. Not for all_all, where
  /// it would take too long.
  int64_t support = 0;
  bool keep_removed = false;  ///< fill Correspondences::removed
};

struct Correspondence {
  double x0, y0, x1, y1;         ///< px of the feature maps
  double score;                  ///< cosine of the two features
  double probability;            ///< dual softmax; 1 where min_probability is 0
  int64_t keypoint0, keypoint1;  ///< numbers, in mode keypoints; else -1
  double ratio = 1;        ///< of its distance to the nearest rival's; 1 where none was looked at
  double confidence = -1;  ///< match_confidence(); < 0: not judged
  PointPair pair() const { return {x0, y0, x1, y1}; }
};

/// The chance that a match lies within 3 px of the truth, from its ratio and its cosine: logistic
/// regression for ucn-slim on warps and reconstructions it never saw, of matches with support
/// (docs/measurements.md). For other weights, and without support, an order.
double match_confidence(double ratio, double cosine);

/// Puts the most distinct first, of these the most similar; of equal ones, in an order that does
/// not change when the photos are swapped.
void sort_best_first(std::vector<Correspondence>& matches);
/// Leaves the matches of which apart() holds at both ends, px (ucn/keypoints.h).
void keep_one_per_place(std::vector<Correspondence>& matches, double radius0, double radius1);

struct Correspondences {
  std::vector<Correspondence> matches;  ///< the most distinct first, of these the most similar
  struct Stage {
    std::string name;
    int64_t left;  ///< how many matches passed
  };
  std::vector<Stage> stages;  ///< the search, then each filter that is on
  double exact = 1;           ///< as MatchResult
  /// What a filter took away; those of the search back with their ends where the search left them.
  struct Removed {
    Correspondence match;
    std::string by;  ///< the stage's name
  };
  std::vector<Removed> removed;
};

/// The matches of two photos. Swapping the photos gives the same, swapped: keypoints and all_all
/// keep mutual nearest neighbours; all joins both photos' searches, and of matches nearer than a
/// pixel at either end the best. (Not so without reciprocity, and in all_all with stability or
/// coarse.) Throws as match().
Correspondences correspond(const PhotoFeatures& photo0, const PhotoFeatures& photo1,
                           const CorrespondOptions& options);

}  // namespace cairn::ucn

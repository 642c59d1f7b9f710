// Pairs from reconstructions: two photos of one place, and the points that both show.
#pragma once

#include <string>
#include <vector>

#include "data/colmap/depth.h"
#include "data/pairs.h"
#include "data/photo_cache.h"
#include "data/photo_views.h"

namespace cairn {

struct ColmapPairsOptions {
  PhotoViewOptions views = {};
  std::string depths = {};                 ///< folder of depth maps (data/colmap/depth.h), or none
  int64_t min_shared = 30;                 ///< points that two photos must share
  double min_angle = 5, max_angle = 45;    ///< degrees between the lines of sight (the median)
  double max_error = 2;                    ///< px: points seen further from where they should be
  int channels = 1;                        ///< 1: gray, 3: RGB
  int64_t max_side = 1280;                 ///< longer photos are reduced when they are read
  int64_t cache_bytes = int64_t{2} << 30;  ///< of decoded photos that are kept
};

/// Two photos of a reconstruction.
struct ColmapPair {
  int64_t image0, image1;  ///< indices of ColmapModel::images
  int64_t shared;          ///< points that both observe
  double angle;            ///< degrees, the median over these
};

/// All pairs within the options' limits, in order.
std::vector<ColmapPair> find_colmap_pairs(const ColmapModel& model,
                                          const ColmapPairsOptions& options);

/// Index i shows pair i, either photo first, or the next pair whose photos can be read. The views
/// lie around a point that both photos show. Correspondences are those of all pixels where both
/// photos have a depth map, else the observations of the points.
class ColmapPairs : public PairSource {
 public:
  /// `model`: a folder as read_colmap_model() takes it; `photos`: the folder that the photos' names
  /// begin in. Throws as that does, and ErrorId::io when no pair is left, no photo can be read or
  /// depth maps are asked for and none is there.
  ColmapPairs(const std::string& model, const std::string& photos,
              const ColmapPairsOptions& options = {});

  int64_t size() const override { return int64_t(pairs_.size()); }
  Pair get(int64_t index, Random& random) const override;
  std::string description() const override;
  std::vector<BrokenPhoto> broken() const override;
  const std::vector<ColmapPair>& pairs() const { return pairs_; }

 private:
  std::string name_;
  ColmapPairsOptions options_;
  ColmapModel model_;
  std::vector<ColmapPair> pairs_;
  mutable PhotoCache photos_;
  mutable FileCache<Tensor> depths_;  ///< an empty path: there is none
  int64_t depth_maps_ = 0;
};

}  // namespace cairn

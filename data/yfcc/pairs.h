// Pairs of YFCC100M: SIFT matches that the known cameras confirm.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/pairs.h"
#include "data/photo_cache.h"
#include "data/photo_views.h"
#include "data/sift/sift.h"
#include "data/yfcc/yfcc.h"

namespace cairn {

struct YfccPairsOptions {
  PhotoViewOptions views = {};
  std::string phase = "train";
  SiftOptions sift{.max_keypoints = 2000, .contrast = 1e-5};
  double ratio = 1;                        ///< nearest / second nearest descriptor below it; 1: off
  double max_residual = 0.01;              ///< see epipolar_residuals()
  int channels = 1;                        ///< 1: gray, 3: RGB
  int64_t max_side = 1280;                 ///< longer photos are reduced when they are read
  int64_t cache_bytes = int64_t{2} << 30;  ///< of decoded photos that are kept
};

/// Index i shows the pair of file i (by name), or of the next one that can be used and has a match.
/// The keypoints of a photo are computed once and kept beside the pairs, in
/// <pairs>/<scene>/<phase>-sift.
class YfccPairs : public PairSource {
 public:
  /// `raw`: the layout; `pairs`: what prepare_yfcc() wrote. Throws ErrorId::io when there are none
  /// of the phase, or none can be used.
  YfccPairs(const std::string& raw, const std::string& pairs, const YfccPairsOptions& options = {});

  int64_t size() const override { return int64_t(files_.size()); }
  Pair get(int64_t index, Random& random) const override;
  std::string description() const override;
  std::vector<BrokenPhoto> broken() const override;

 private:
  struct File {
    std::string path, keypoints0, keypoints1;  ///< keypoints: where they are kept
    int64_t photo0, photo1;
  };
  struct Matches {
    std::vector<std::array<double, 4>> positions;
    double angle;  ///< as in Pair
  };
  Matches matches(const File& file, const Pyramid& photo0, const Pyramid& photo1) const;

  std::string raw_;
  YfccPairsOptions options_;
  std::vector<File> files_;
  std::unique_ptr<PhotoCache> photos_;
  mutable std::mutex mutex_;
  mutable std::vector<BrokenPhoto> broken_;  ///< pair files
};

}  // namespace cairn

// Pairs from single photos: two random views of each, so that every correspondence is known
// exactly.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/geometry/views.h"
#include "data/pairs.h"
#include "data/photo_cache.h"
#include "data/photometric.h"

namespace cairn {

/// The .jpg, .jpeg, .png, .ppm and .pgm files (any case) in a folder and all folders below, sorted
/// by path. Links are followed, but not back into a folder that the walk is in; pipes and devices
/// are no photos, whatever their name. Throws ErrorId::io when the folder cannot be read.
std::vector<std::string> find_images(const std::string& folder);

struct HomographyPairsOptions {
  ViewOptions views;
  Photometric photometric;                 ///< of each view apart
  int channels = 1;                        ///< 1: gray, 3: RGB
  int64_t correspondences = 4096;          ///< drawn among those there are; 0: all, row by row
  int64_t max_side = 1280;                 ///< longer photos are reduced when they are read
  int64_t cache_bytes = int64_t{2} << 30;  ///< of decoded photos that are kept
};

/// The pair that two views of one photo make. positions0 are whole pixels of view 0.
Pair make_homography_pair(const Pyramid& photo, const Views& views,
                          const HomographyPairsOptions& options, Random& random);

/// Index i shows photo i, or the next one that can be read when photo i is broken.
class HomographyPairs : public PairSource {
 public:
  /// Throws ErrorId::io when the folder holds no image that can be read.
  explicit HomographyPairs(const std::string& folder, const HomographyPairsOptions& options = {});
  /// Of these photos; `name` stands for them in words.
  HomographyPairs(std::vector<std::string> photos, const std::string& name,
                  const HomographyPairsOptions& options = {});

  int64_t size() const override { return photos_.size(); }
  Pair get(int64_t index, Random& random) const override;
  std::string description() const override;
  std::vector<BrokenPhoto> broken() const override { return photos_.broken(); }

 private:
  std::string name_;
  HomographyPairsOptions options_;
  mutable PhotoCache photos_;
};

}  // namespace cairn

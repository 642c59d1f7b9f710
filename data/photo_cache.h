// Decoded photos, kept while they fit a budget.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "data/file_cache.h"
#include "data/warp.h"

namespace cairn {

struct PhotoCacheOptions {
  int channels = 1;
  int64_t max_side = 1280;  ///< longer photos are reduced when they are read
  int64_t max_bytes = int64_t{2} << 30;
  bool respect_exif = true;
  /// Width and height of each photo, up to a common factor; empty: any will do.
  std::vector<std::array<int64_t, 2>> sizes = {};
};

class PhotoCache : public FileCache<Pyramid> {
 public:
  using Options = PhotoCacheOptions;
  PhotoCache(std::vector<std::string> paths, const Options& options);
};

}  // namespace cairn

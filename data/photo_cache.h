// Decoded photos, kept while they fit a budget.
#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "data/pairs.h"
#include "data/warp.h"

namespace cairn {

/// Reads photos by index and keeps those used last, up to a number of bytes. Safe to use from
/// several threads; files are read outside the lock.
class PhotoCache {
 public:
  struct Options {
    int channels = 1;
    int64_t max_side = 1280;  ///< longer photos are reduced when they are read
    int64_t max_bytes = int64_t{2} << 30;
    bool respect_exif = true;
    /// Width and height of each photo, up to a common factor; empty: any will do.
    std::vector<std::array<int64_t, 2>> sizes = {};
  };
  PhotoCache(std::vector<std::string> paths, const Options& options);

  int64_t size() const { return int64_t(paths_.size()); }
  const std::string& path(int64_t index) const { return paths_[size_t(index)]; }
  /// The photo, or null when it is broken (it is then in broken()).
  std::shared_ptr<const Pyramid> get(int64_t index);
  /// In the order in which they were found, so that what is new stands at the end.
  std::vector<BrokenPhoto> broken() const;

 private:
  struct Entry {
    std::shared_ptr<const Pyramid> photo;
    std::list<int64_t>::iterator used;
  };
  std::shared_ptr<const Pyramid> read(int64_t index) const;

  std::vector<std::string> paths_;
  Options options_;
  mutable std::mutex mutex_;  // guards all below
  std::map<int64_t, Entry> entries_;
  std::list<int64_t> order_;  // the one used last first
  int64_t bytes_ = 0;
  std::set<int64_t> broken_indices_;
  std::vector<BrokenPhoto> broken_;
};

}  // namespace cairn

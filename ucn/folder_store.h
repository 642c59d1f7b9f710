// What a folder's run keeps on disk: features of photos, and what its pairs came to.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "data/sqlite.h"
#include "ucn/folder_matcher.h"

namespace cairn::ucn {

/// What tells a photo from another that has its name: size and time.
std::string photo_stamp(const std::filesystem::path& photo);

/// One photo's features.
struct StoredFeatures {
  Tensor keypoints;     ///< K x 2 f64, px of its file
  Tensor coarse;        ///< coarse_features() of the photo as it was turned, f16; or undefined
  int orientation = 1;  ///< how it was turned (Image::orientation)
  int64_t width = 0, height = 0;
  std::string stamp;             ///< of the photo's file
  std::vector<PhotoView> views;  ///< with descriptors alone, on the CPU
  int64_t nbytes() const;
};
StoredFeatures to_stored(const PreparedPhoto& photo, const std::string& stamp);

/// A file per photo, good while the photo and the settings are what they were.
class FeatureCache {
 public:
  /// `photos`: the folder that names are relative to; `folder`: of the cache.
  FeatureCache(std::filesystem::path photos, std::filesystem::path folder, std::string settings)
      : photos_(std::move(photos)), folder_(std::move(folder)), settings_(std::move(settings)) {}
  std::string path(const std::string& name) const { return path(folder_, name); }
  static std::string path(const std::filesystem::path& folder, const std::string& name);
  /// False also when the file is damaged: it is then made anew.
  bool has(const std::string& name) const;
  void write(const std::string& name, const StoredFeatures& features) const;
  /// Throws ErrorId::io, ErrorId::format.
  static StoredFeatures read(const std::string& path);
  /// Of such a file StoredFeatures::coarse alone, f32; undefined when it is gone, damaged, or not
  /// of this photo turned like this.
  static Tensor coarse(const std::string& path, const std::string& stamp, int orientation);

 private:
  std::filesystem::path photos_, folder_;
  std::string settings_;
};

/// A part's results, open for writing; read_results() reads them.
class ResultStore {
 public:
  /// Throws ErrorId::usage for results of other settings, ErrorId::io when the file is another's.
  ResultStore(const std::string& path, const std::string& settings);
  /// Photos of the folder `photos` that are not those that were matched, and all their pairs.
  void forget_changed(const std::filesystem::path& photos);
  std::set<NamePair> done();
  void add(const std::string& name, const StoredFeatures& features);
  void add(const NamePair& names, const FolderResults::Pair& pair);
  /// All that this part can do is done.
  void finish();
  Database& database() { return database_; }

 private:
  Database database_;
};

}  // namespace cairn::ucn

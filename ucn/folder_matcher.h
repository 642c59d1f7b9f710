// The matches among a folder of photos, resumable, in parts, on many machines.
//
// In the folder of results: features/*.safetensors, one per photo, used again while photo and
// settings stay the same; results-I-of-N.db, what the I-th of N parts has found, committed again
// and again, so that a run that is killed goes on where it was.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/pairs.h"
#include "ucn/photo_matcher.h"

namespace cairn::ucn {

using NamePair = std::pair<std::string, std::string>;

/// All pairs of names in order; each with the `window` that follow it; or those of a file in hloc's
/// form (two names a line), each pair once. Throws ErrorId::io, ErrorId::format.
std::vector<NamePair> exhaustive_pairs(const std::vector<std::string>& names);
std::vector<NamePair> sequential_pairs(const std::vector<std::string>& names, int64_t window);
std::vector<NamePair> listed_pairs(const std::string& path);

/// Part `part` of `parts` (from 1): consecutive pairs, so that most photos belong to one part.
std::vector<NamePair> part_of(const std::vector<NamePair>& pairs, int64_t part, int64_t parts);

struct FolderOptions {
  std::string photos;   ///< the folder that names are relative to
  std::string results;  ///< made if need be
  int64_t part = 1, parts = 1;
  Geometry verify = Geometry::fundamental;
  RansacOptions ransac{.best_first = true};
  std::vector<double> focal;  ///< px, of all photos; empty: 1.2 times the longer side
  std::string weights_id;     ///< tells weights apart
};

/// What was found; coordinates are of the stored pixel grids.
struct FolderResults {
  struct Photo {
    int64_t width = 0, height = 0;
    std::vector<Point> keypoints;
  };
  struct Pair {
    std::vector<std::array<int32_t, 2>> matches;  ///< keypoint numbers
    std::vector<float> scores;
    TwoView geometry;
    double same_scene = -1;
  };
  std::map<std::string, Photo> photos;
  std::map<NamePair, Pair> pairs;
  std::vector<std::string> unfinished;  ///< parts, "3 of 8", that are not there or not done
};

/// How far a run is; pairs of photos that cannot be read are not among all_pairs.
struct FolderDone {
  int64_t photos = 0, all_photos = 0;  ///< whose features were not in the cache
  int64_t pairs = 0, all_pairs = 0;
  double seconds_left = 0;
};
/// Called now and then, by several threads but never by two at once.
using FolderProgress = std::function<void(const FolderDone&)>;

/// Matches what is not matched yet. Photos that cannot be read are returned and their pairs left
/// out. Throws ErrorId::usage when the folder's results were made with other settings, and as the
/// parts it is made of.
std::vector<BrokenPhoto> match_folder(PhotoMatcher& matcher, const std::vector<NamePair>& pairs,
                                      const FolderOptions& options, const FolderProgress& progress);

/// Of all parts in the folder. Throws ErrorId::io when there are none.
FolderResults read_results(const std::string& folder);

/// Writes results for others, each whole or not at all; `what`: csv (pairs.csv, a table of pairs),
/// colmap (database.db), hloc (features.h5, matches.h5, pairs.txt), text (COLMAP's importers: a
/// folder colmap-text). Throws ErrorId::argument for another name.
struct ExportOptions {
  std::vector<double> focal;   ///< px, of all photos; empty: a guess of 1.2 times the longer side
  bool single_camera = false;  ///< all photos of one size share one
};
/// Returns the files it wrote.
std::vector<std::string> export_results(const FolderResults& results, const std::string& what,
                                        const std::string& folder, const ExportOptions& options);

}  // namespace cairn::ucn

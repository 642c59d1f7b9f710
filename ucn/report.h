// The interactive report: one HTML file with photos, matches and a look at the features; it asks no
// network for anything.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ucn/feature_grid.h"
#include "ucn/folder_matcher.h"

namespace cairn::ucn {

struct ReportPhoto {
  std::string name;
  int64_t width = 0, height = 0;  ///< px, upright; matches are in these
  std::vector<uint8_t> jpeg;      ///< what is shown, maybe smaller
  FeatureGrid grid;               ///< for all its pairs that have none of their own; or empty
};

struct ReportPair {
  size_t photo0 = 0, photo1 = 0;        ///< numbers in Report::photos
  std::vector<Correspondence> matches;  ///< px of these, upright
  std::vector<uint8_t> inlier;          ///< one a match; empty: not verified
  /// What filters took away, which can be shown as well: how much, and some of it.
  struct Filter {
    std::string name;
    int64_t removed = 0;
    std::vector<Correspondence> shown;
    std::vector<uint8_t> agrees;  ///< one of these each: would be an inlier
  };
  std::vector<Filter> filters;
  std::string geometry = "fundamental";  ///< of what they are inliers
  double same_scene = -1;                ///< < 0: not known
  int64_t found = -1,
          found_inliers = 0;       ///< in all, where `matches` are only the best; < 0: they are all
  std::vector<FeatureGrid> grids;  ///< of both photos as this pair saw them, or none
};

struct Report {
  std::vector<ReportPhoto> photos;
  std::vector<ReportPair> pairs;                           ///< at least one
  std::vector<std::pair<std::string, std::string>> about;  ///< settings, times, the command
  std::vector<std::string> left_out;  ///< of a folder: why photos are missing, one line each
};

/// The upright photo, reduced to at most `longest` px.
ReportPhoto report_photo(const std::string& name, const Image& upright, int64_t longest = 1200,
                         int quality = 85);

/// Of a folder's results in `folder`: each photo small, with the coarse features that were kept of
/// it, and of each pair the best matches. Photos of the folder `photos` that cannot be read any
/// more are left out, and their pairs.
Report folder_report(const FolderResults& results, const std::string& folder,
                     const std::string& photos);

/// The page. Throws ErrorId::argument without a pair, or for matches whose flags are not as many.
std::string to_html(const Report& report);

}  // namespace cairn::ucn

// A folder's matches as a page to look at.
#include <algorithm>
#include <filesystem>

#include "ucn/folder_matcher.h"
#include "ucn/folder_store.h"
#include "ucn/report.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;

/// Where a place of the stored pixel grid is in the upright photo.
Homography upright_from_stored(const Image& image) {
  const auto o = image.to_stored(0, 0), x = image.to_stored(1, 0), y = image.to_stored(0, 1);
  return inverse({x[0] - o[0], y[0] - o[0], o[0], x[1] - o[1], y[1] - o[1], o[1], 0, 0, 1});
}

}  // namespace

Report folder_report(const FolderResults& results, const std::string& folder,
                     const std::string& photos) {
  // A page of 50 photos and all their pairs is to open at once: photos are small, and of many pairs
  // the best matches serve.
  constexpr int64_t longest = 640;
  constexpr size_t most_matches = 300000, least_of_a_pair = 40;
  Report report;
  std::map<std::string, size_t> number;
  std::vector<Homography> upright;
  std::vector<Tensor> coarse;
  for (const auto& entry : results.photos) {
    const std::string& name = entry.first;
    Image image;
    try {
      image = read_image(fs::path(photos) / name);
    } catch (const Error& e) {
      if (e.id() != ErrorId::io && e.id() != ErrorId::format) throw;
      report.left_out.push_back(e.what());
      continue;
    }
    number[name] = report.photos.size();
    upright.push_back(upright_from_stored(image));
    report.photos.push_back(report_photo(name, image, longest, 75));
    coarse.push_back(FeatureCache::coarse(FeatureCache::path(fs::path(folder) / "features", name),
                                          photo_stamp(fs::path(photos) / name), image.orientation));
    // Of other weights: some other run has written there since.
    if (coarse.back().defined() && coarse[0].defined() && coarse.back().dim(2) != coarse[0].dim(2))
      coarse.back() = {};
  }
  const auto grids = feature_grids(coarse);
  for (size_t k = 0; k < grids.size(); ++k) report.photos[k].grid = grids[k];
  const size_t most =
      std::max(least_of_a_pair, most_matches / std::max<size_t>(1, results.pairs.size()));
  for (const auto& [names, found] : results.pairs) {
    if (!number.contains(names.first) || !number.contains(names.second)) continue;
    ReportPair pair;
    pair.photo0 = number.at(names.first);
    pair.photo1 = number.at(names.second);
    pair.same_scene = found.same_scene;
    pair.geometry = name_of(found.geometry.kind);
    pair.found = int64_t(found.matches.size());
    pair.found_inliers = found.geometry.inliers;
    const auto& k0 = results.photos.at(names.first).keypoints;
    const auto& k1 = results.photos.at(names.second).keypoints;
    for (size_t k = 0; k < std::min(most, found.matches.size()); ++k) {
      const Point &s = k0[size_t(found.matches[k][0])], &t = k1[size_t(found.matches[k][1])];
      const Point a = apply(upright[pair.photo0], s[0], s[1]),
                  b = apply(upright[pair.photo1], t[0], t[1]);
      Correspondence m{a[0], a[1], b[0], b[1], found.scores[k], 1, -1, -1};
      pair.matches.push_back(m);
      if (!found.geometry.inlier.empty()) pair.inlier.push_back(found.geometry.inlier[k]);
    }
    report.pairs.push_back(std::move(pair));
  }
  return report;
}

}  // namespace cairn::ucn

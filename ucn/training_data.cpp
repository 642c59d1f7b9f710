#include "ucn/training_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "data/colmap/pairs.h"
#include "data/homography_pairs.h"
#include "data/mixed_pairs.h"
#include "data/yfcc/pairs.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;

fs::path canonical(const std::string& path) {
  std::error_code error;
  const fs::path found = fs::weakly_canonical(path, error);
  return error ? fs::path(path) : found;
}

bool lies_in(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first ==
         folder.end();
}

uint64_t hash(const std::string& text) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325;
  for (unsigned char c : text) h = (h ^ c) * 0x100000001b3;
  return h;
}

/// Which scenes are held out: those whose last two names have the smallest hash, so that a scene
/// that is added moves few others.
std::set<fs::path> choose(std::set<fs::path> scenes, double share) {
  std::vector<fs::path> order(scenes.begin(), scenes.end());
  std::ranges::stable_sort(order, {}, [](const fs::path& p) {
    return hash(p.parent_path().filename() / p.filename());  // all may be called "images"
  });
  const auto count = size_t(std::max(1L, std::lround(share * double(order.size()))));
  order.resize(std::min(count, order.size() - 1));
  return {order.begin(), order.end()};
}

/// "homography:0.5,colmap:0.5" by name.
std::map<std::string, double> weights_of(const TrainOptions& o) {
  std::map<std::string, double> weights;
  if (!o.images.empty()) weights["homography"] = 1;
  if (!o.colmap.empty()) weights["colmap"] = 1;
  if (!o.yfcc_raw.empty()) weights["yfcc"] = 1;
  if (o.mix.empty()) return weights;
  const auto bad = [&](const std::string& why) {
    throw Error(ErrorId::usage, "train", cat("mix is '", o.mix, "': ", why),
                "write it like homography:0.5,colmap:0.5");
  };
  std::map<std::string, double> said;
  std::stringstream parts(o.mix);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t colon = part.find(':');
    const std::string name = part.substr(0, colon);
    char* end = nullptr;
    const double weight =
        colon == std::string::npos ? 0 : std::strtod(part.c_str() + colon + 1, &end);
    if (!(weight > 0) || !std::isfinite(weight) || *end) bad(cat("'", part, "' has no weight"));
    if (!weights.contains(name)) bad(cat("there is no source '", name, "' in this run"));
    if (!said.emplace(name, weight).second) bad(cat("'", name, "' comes twice"));
  }
  for (const auto& [name, weight] : weights)
    if (!said.contains(name)) bad(cat("'", name, "' is missing"));
  return said;
}

/// "5:45".
std::pair<double, double> angles(const std::string& text) {
  char *end = nullptr, *end2 = nullptr;
  const double low = std::strtod(text.c_str(), &end);
  const double high = end != text.c_str() && *end == ':' ? std::strtod(end + 1, &end2) : -1;
  require(end2 && !*end2 && end2 != end + 1 && low >= 0 && high >= low && high <= 180,
          ErrorId::usage, "train", "angle is '", text, "', not two angles in degrees like 5:45");
  return {low, high};
}

}  // namespace

TrainingData open_training_data(const TrainOptions& o) {
  const auto weights = weights_of(o);
  require(!weights.empty(), ErrorId::usage, "train",
          "there is nothing to train on: --images, --colmap or --yfcc-raw is required");
  require(o.photos.size() == o.colmap.size(), ErrorId::usage, "train", "there are ",
          o.colmap.size(), " reconstructions (--colmap) and ", o.photos.size(),
          " folders of their photos (--photos)");
  require(o.depths.empty() || o.depths.size() == o.colmap.size(), ErrorId::usage, "train",
          "--depths is given ", o.depths.size(), " times, not once for each of the ",
          o.colmap.size(), " reconstructions (- where there are none)");
  require(o.yfcc_raw.empty() == o.yfcc_pairs.empty(), ErrorId::usage, "train",
          "--yfcc-raw and --yfcc-pairs go together");

  HomographyPairsOptions warps;
  warps.views.height = warps.views.width = o.crop;
  warps.views.difficulty = o.difficulty;
  warps.views.rotation = o.rotation;
  warps.views.bend = o.bend;
  warps.photometric = Photometric::of_strength(o.photometric);
  warps.channels = int(o.model.inputs);
  warps.correspondences = o.correspondences;
  // One limit for all the caches that there will be.
  const int64_t twice = o.held_out > 0 ? 2 : 1;
  const int64_t caches = int64_t(o.colmap.size()) +
                         twice * (int64_t(!o.images.empty()) + int64_t(!o.yfcc_raw.empty()));
  warps.cache_bytes = o.limit_cache * 1000000 / caches;
  PhotoViewOptions views;
  views.height = views.width = o.crop;
  views.photometric = warps.photometric;
  views.correspondences = o.correspondences;
  ColmapPairsOptions real{.views = views};
  std::tie(real.min_angle, real.max_angle) = angles(o.angle);
  real.min_shared = o.min_shared;
  real.channels = warps.channels;
  real.cache_bytes = warps.cache_bytes;
  YfccPairsOptions internet{.views = views};
  internet.channels = warps.channels;
  internet.cache_bytes = warps.cache_bytes;
  internet.sift.max_keypoints = o.obj_num_kp;
  internet.ratio = o.yfcc_ratio;
  internet.max_residual = o.inlier_threshold_pixel;

  // The scene of each reconstruction and of each photo.
  std::vector<fs::path> folders, scene_of;
  for (const std::string& folder : o.photos) folders.push_back(canonical(folder));
  std::vector<std::string> photos;
  if (!o.images.empty()) photos = find_images(o.images);
  for (const std::string& photo : photos) {
    const fs::path path = canonical(photo);
    const auto known = std::ranges::find_if(
        folders, [&](const fs::path& folder) { return lies_in(path, folder); });
    scene_of.push_back(known == folders.end() ? path.parent_path() : *known);
  }
  std::set<fs::path> all(folders.begin(), folders.end());
  all.insert(scene_of.begin(), scene_of.end());
  if (all.size() == 1 && folders.empty()) {
    std::ranges::transform(photos, scene_of.begin(), canonical);
    all = {scene_of.begin(), scene_of.end()};
  }
  std::set<fs::path> held;
  if (o.held_out > 0) {
    require(all.size() > 1 || !o.yfcc_raw.empty(), ErrorId::usage, "train",
            "there is but one scene, so nothing can be held out");
    if (all.size() > 1) held = choose(all, o.held_out);
  }

  const auto build = [&](bool out) -> std::unique_ptr<PairSource> {
    std::vector<MixedPairs::Part> parts;
    std::vector<std::string> mine;
    for (size_t i = 0; i < photos.size(); ++i)
      if (held.contains(scene_of[i]) == out) mine.push_back(photos[i]);
    if (!mine.empty() || (photos.empty() && !o.images.empty()))  // which says so
      parts.push_back(
          {std::make_unique<HomographyPairs>(mine, o.images, warps), weights.at("homography")});
    std::vector<MixedPairs::Part> real_parts;
    for (size_t i = 0; i < folders.size(); ++i)
      if (held.contains(folders[i]) == out) {
        real.depths = o.depths.empty() || o.depths[i] == "-" ? "" : o.depths[i];
        real_parts.push_back({std::make_unique<ColmapPairs>(o.colmap[i], o.photos[i], real), 1});
      }
    for (auto& part : real_parts)
      parts.push_back({std::move(part.source), weights.at("colmap") / double(real_parts.size())});
    if (!o.yfcc_raw.empty()) {  // which has scenes of its own for this
      internet.phase = out ? "val" : "train";
      parts.push_back(
          {std::make_unique<YfccPairs>(o.yfcc_raw, o.yfcc_pairs, internet), weights.at("yfcc")});
    }
    if (parts.empty()) return nullptr;
    return std::make_unique<MixedPairs>(std::move(parts));
  };
  TrainingData data{build(false), o.held_out > 0 ? build(true) : nullptr};
  require(data.train != nullptr, ErrorId::usage, "train", "everything is held out");
  return data;
}

}  // namespace cairn::ucn

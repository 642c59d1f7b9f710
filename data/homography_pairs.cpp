#include "data/homography_pairs.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace cairn {
namespace {

namespace fs = std::filesystem;

/// True for a folder that is, through a link, one of those above it: the walk would never end.
bool leads_back(const fs::recursive_directory_iterator& it) {
  std::error_code ignored;
  fs::path above = it->path();
  for (int depth = 0; depth <= it.depth(); ++depth) {
    above = above.parent_path();
    if (fs::equivalent(it->path(), above, ignored)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> find_images(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  const auto options = fs::directory_options::follow_directory_symlink |
                       fs::directory_options::skip_permission_denied;
  fs::recursive_directory_iterator it(folder, options, error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_symlink(ignored) && leads_back(it)) it.disable_recursion_pending();
    std::string extension = it->path().extension();
    for (char& c : extension) c = char(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    static const std::set<std::string> known = {".jpg", ".jpeg", ".png", ".ppm", ".pgm"};
    if (!known.contains(extension)) continue;
    // A link to nothing is a photo that will be named as broken.
    if (it->is_regular_file(ignored) || !it->exists(ignored)) paths.push_back(it->path());
  }
  require(!error, ErrorId::io, "find_images", "cannot read the folder '", folder,
          "': ", error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Pair make_homography_pair(const Pyramid& photo, const Views& views,
                          const HomographyPairsOptions& options, Random& random) {
  const int64_t h = options.views.height, w = options.views.width;
  Pair pair;
  const auto view = [&](const Homography& view_to_photo, const Bend& bend) {
    return network_input(
        change_appearance(warp(photo, view_to_photo, h, w, bend), options.photometric, random));
  };
  pair.image0 = view(views.view0_to_photo, {});
  pair.image1 = view(views.view1_to_photo, views.bend);

  const Homography map = compose(inverse(views.view1_to_photo), views.view0_to_photo);
  std::vector<std::array<double, 4>> matches;
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      const Point straight = apply(map, double(x), double(y));
      const auto [x1, y1] = views.bend.back(straight[0], straight[1]);
      if (x1 >= 0 && y1 >= 0 && x1 <= double(w - 1) && y1 <= double(h - 1))
        matches.push_back({double(x), double(y), x1, y1});
    }
  set_positions(pair, matches, options.correspondences, random);
  return pair;
}

HomographyPairs::HomographyPairs(const std::string& folder, const HomographyPairsOptions& options)
    : HomographyPairs(find_images(folder), folder, options) {}

HomographyPairs::HomographyPairs(std::vector<std::string> photos, const std::string& name,
                                 const HomographyPairsOptions& options)
    : name_(name),
      options_(options),
      photos_(std::move(photos), {options.channels, options.max_side, options.cache_bytes}) {
  require(options.channels == 1 || options.channels == 3, ErrorId::argument, "homography_pairs",
          "channels is ", options.channels, ", not 1 or 3");
  require(options.correspondences >= 0, ErrorId::argument, "homography_pairs",
          "correspondences is ", options.correspondences);
  require(size() > 0, ErrorId::io, "homography_pairs", "no images: '", name,
          "' holds no .jpg, .jpeg or .png file");
  Random random(0);
  get(0, random);  // fails now, not in the middle of a training, on bad options or if all is broken
}

Pair HomographyPairs::get(int64_t index, Random& random) const {
  require(index >= 0 && index < size(), ErrorId::index, "homography_pairs", "no pair ", index,
          " among ", size());
  for (int64_t step = 0; step < size(); ++step) {
    const int64_t i = (index + step) % size();
    const auto photo = photos_.get(i);
    if (!photo) continue;
    const Views views = sample_views(photo->height(), photo->width(), options_.views, random);
    Pair pair = make_homography_pair(*photo, views, options_, random);
    pair.name = photos_.path(i);
    return pair;
  }
  throw Error(ErrorId::io, "homography_pairs",
              cat("no images: none of the ", size(), " in '", name_,
                  "' can be read; the first: ", photos_.broken().front().message));
}

std::string HomographyPairs::description() const {
  const ViewOptions& v = options_.views;
  return cat("pairs of ", v.width, " x ", v.height, (options_.channels == 1 ? " gray" : " colour"),
             " views of ", size(), " photos in '", name_, "', difficulty ", v.difficulty,
             ", turned by up to ", v.rotation * v.difficulty, " degrees");
}

}  // namespace cairn

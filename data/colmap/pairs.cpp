#include "data/colmap/pairs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

namespace cairn {
namespace {

/// Calls f(observation in a, observation in b) for each point that both observe.
template <class F>
void each_shared(const PosedImage& a, const PosedImage& b, const F& f) {
  auto i = a.observations.begin(), j = b.observations.begin();
  while (i != a.observations.end() && j != b.observations.end()) {
    if (i->point == j->point)
      f(*i++, *j++);
    else if (i->point < j->point)
      ++i;
    else
      ++j;
  }
}

/// Degrees at x between the lines to a and b.
double angle_at(const std::array<double, 3>& x, const std::array<double, 3>& a,
                const std::array<double, 3>& b) {
  std::array<double, 3> u, v;
  for (size_t i = 0; i < 3; ++i) u[i] = a[i] - x[i], v[i] = b[i] - x[i];
  const double length_u = std::hypot(u[0], u[1], u[2]), length_v = std::hypot(v[0], v[1], v[2]);
  double cosine = 0;
  for (size_t i = 0; i < 3; ++i) cosine += u[i] / length_u * (v[i] / length_v);
  return std::acos(std::clamp(cosine, -1.0, 1.0)) * 180 / std::numbers::pi;
}

/// Without the observations that lie further than `most` from where they should.
void keep_exact(ColmapModel& model, double most) {
  for (PosedImage& image : model.images)
    std::erase_if(image.observations, [&](const Observation& o) {
      return !(reprojection_error(model, image, o) <= most);
    });
}

PhotoCache photos_of(const ColmapModel& model, const std::string& folder,
                     const ColmapPairsOptions& o) {
  std::vector<std::string> paths;
  PhotoCache::Options options{.channels = o.channels,
                              .max_side = o.max_side,
                              .max_bytes = o.cache_bytes / (o.depths.empty() ? 1 : 2),
                              .respect_exif = false};
  for (const PosedImage& image : model.images) {
    const Camera& camera = model.cameras.at(image.camera);
    paths.push_back(std::filesystem::path(folder) / image.name);
    options.sizes.push_back({camera.width, camera.height});
  }
  return PhotoCache(paths, options);
}

std::vector<std::string> depth_maps_of(const ColmapModel& model, const std::string& folder) {
  std::vector<std::string> paths(model.images.size());
  if (!folder.empty())
    std::ranges::transform(model.images, paths.begin(), [&](const PosedImage& image) {
      return find_depth_map(folder, image.name);
    });
  return paths;
}

}  // namespace

std::vector<ColmapPair> find_colmap_pairs(const ColmapModel& model, const ColmapPairsOptions& o) {
  std::unordered_map<uint64_t, std::vector<int64_t>> seen_by;
  for (size_t i = 0; i < model.images.size(); ++i)
    for (const Observation& ob : model.images[i].observations)
      seen_by[ob.point].push_back(int64_t(i));
  std::map<std::pair<int64_t, int64_t>, int64_t> shared;
  for (const auto& [point, images] : seen_by)
    for (size_t i = 0; i < images.size(); ++i)
      for (size_t j = i + 1; j < images.size(); ++j) ++shared[{images[i], images[j]}];
  std::vector<ColmapPair> pairs;
  for (const auto& [pair, count] : shared) {
    if (count < o.min_shared) continue;
    const PosedImage &a = model.images[size_t(pair.first)], &b = model.images[size_t(pair.second)];
    const auto center_a = camera_center(a), center_b = camera_center(b);
    std::vector<double> angles;
    each_shared(a, b, [&](const Observation& x, const Observation&) {
      const double angle = angle_at(model.points.at(x.point), center_a, center_b);
      if (std::isfinite(angle)) angles.push_back(angle);
    });
    const double angle = median(std::move(angles));  // NaN is within no limits
    if (angle >= o.min_angle && angle <= o.max_angle)
      pairs.push_back({pair.first, pair.second, count, angle});
  }
  return pairs;
}

ColmapPairs::ColmapPairs(const std::string& model, const std::string& photos,
                         const ColmapPairsOptions& options)
    : name_(model),
      options_(options),
      model_(read_colmap_model(model)),
      photos_(photos_of(model_, photos, options)),
      depths_(depth_maps_of(model_, options.depths), options.cache_bytes / 2,
              [](int64_t, const std::string& path) { return read_depth_map(path); }) {
  require(options.channels == 1 || options.channels == 3, ErrorId::argument, "colmap_pairs",
          "channels is ", options.channels, ", not 1 or 3");
  require(options.min_shared >= 1, ErrorId::argument, "colmap_pairs", "min_shared is ",
          options.min_shared);
  check(options.views);
  std::error_code ignored;
  require(std::filesystem::is_directory(photos, ignored), ErrorId::io, "colmap_pairs",
          "there is no folder of photos '", photos, "'");
  for (int64_t i = 0; i < depths_.size(); ++i) depth_maps_ += !depths_.path(i).empty();
  require(options.depths.empty() || depth_maps_ > 0, ErrorId::io, "colmap_pairs", "'",
          options.depths, "' holds no depth map of these photos (NAME.geometric.bin or NAME.h5)");
  keep_exact(model_, options.max_error);
  pairs_ = find_colmap_pairs(model_, options);
  require(!pairs_.empty(), ErrorId::io, "colmap_pairs", "'", model, "': none of its ",
          model_.images.size(), " photos are a pair: ", options.min_shared,
          " shared points, seen under ", options.min_angle, " to ", options.max_angle, " degrees");
  Random random(0);
  get(0, random);  // fails now if no photo can be read
}

Pair ColmapPairs::get(int64_t index, Random& random) const {
  require(index >= 0 && index < size(), ErrorId::index, "colmap_pairs", "no pair ", index,
          " among ", size());
  const ColmapPair* pair = nullptr;
  std::shared_ptr<const Pyramid> photo[2];
  const bool swapped = random.chance(0.5);
  int64_t image[2]{};
  for (int64_t step = 0; step < size() && !pair; ++step) {
    const ColmapPair& next = pairs_[size_t((index + step) % size())];
    image[0] = swapped ? next.image1 : next.image0;
    image[1] = swapped ? next.image0 : next.image1;
    for (int k : {0, 1}) photo[k] = photos_.get(image[k]);
    if (photo[0] && photo[1]) pair = &next;
  }
  if (!pair)
    throw Error(ErrorId::io, "colmap_pairs",
                cat("'", name_, "': of no pair can both photos be read; the first: ",
                    photos_.broken().front().message));

  const PosedImage* posed[2];
  const Camera* camera[2];
  std::shared_ptr<const Tensor> depth[2];
  for (int k : {0, 1}) {
    posed[k] = &model_.images[size_t(image[k])];
    camera[k] = &model_.cameras.at(posed[k]->camera);
    if (!depths_.path(image[k]).empty()) depth[k] = depths_.get(image[k]);
  }
  // From the cameras' pixels to those of the photos as they were read, and back.
  const auto in_photo = [&](int k, const Point& p) {
    return Point{p[0] * double(photo[k]->width()) / double(camera[k]->width) - 0.5,
                 p[1] * double(photo[k]->height()) / double(camera[k]->height) - 0.5};
  };
  const auto in_camera = [&](int k, const Point& p) {
    return Point{(p[0] + 0.5) * double(camera[k]->width) / double(photo[k]->width()),
                 (p[1] + 0.5) * double(camera[k]->height) / double(photo[k]->height())};
  };
  std::vector<std::array<double, 4>> points;
  each_shared(*posed[0], *posed[1], [&](const Observation& a, const Observation& b) {
    const auto [x0, y0] = in_photo(0, {a.x, a.y});
    const auto [x1, y1] = in_photo(1, {b.x, b.y});
    points.push_back({x0, y0, x1, y1});
  });
  Follow follow;
  if (depth[0] && depth[1])
    follow = [&](const Point& p) {
      auto there =
          follow_depth({camera[0], posed[0], depth[0].get()}, {camera[1], posed[1], depth[1].get()},
                       in_camera(0, p), options_.max_error);
      if (there) *there = in_photo(1, *there);
      return there;
    };

  Pair result = cut_pair(*photo[0], *photo[1], points, options_.views, random, follow);
  result.angle = pair->angle;
  result.name = cat(photos_.path(image[0]), " + ", photos_.path(image[1]));
  return result;
}

std::string ColmapPairs::description() const {
  return cat(size(), " pairs of photos of the reconstruction '", name_, "'",
             depth_maps_ ? cat(", ", depth_maps_, " of ", depths_.size(), " with depth maps") : "");
}

std::vector<BrokenPhoto> ColmapPairs::broken() const {
  auto all = photos_.broken();
  const auto maps = depths_.broken();
  all.insert(all.end(), maps.begin(), maps.end());
  return all;
}

}  // namespace cairn

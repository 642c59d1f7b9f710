#include "ucn/photo_matcher.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tensor/kernels/rows/rows.h"
#include "ucn/score_head.h"

namespace cairn::ucn {
namespace {

constexpr int clockwise[] = {1, 6, 3, 8};  // EXIF orientations

/// Pixel centres of an image of that size as those of one of another.
Homography resizing(int64_t from_height, int64_t from_width, int64_t to_height, int64_t to_width) {
  const double x = double(to_width) / double(from_width);
  const double y = double(to_height) / double(from_height);
  return compose(translation(x / 2 - 0.5, y / 2 - 0.5), scaling(x, y));
}

/// Pixels of an image turned clockwise by quarters as those of the image, height x width.
Homography turned_back(int quarters, double height, double width) {
  switch (quarters) {
    case 1:
      return {0, 1, 0, -1, 0, height - 1, 0, 0, 1};
    case 2:
      return {-1, 0, width - 1, 0, -1, height - 1, 0, 0, 1};
    case 3:
      return {0, -1, width - 1, 1, 0, 0, 0, 0, 1};
    default:
      return identity_homography();
  }
}

Tensor mapped(const Tensor& points, const Homography& map) {
  Tensor result = Tensor::empty(points.shape(), DType::f64);
  for (int64_t k = 0; k < points.dim(0); ++k) {
    const double* p = points.data<double>() + 2 * k;
    std::ranges::copy(apply(map, p[0], p[1]), result.data<double>() + 2 * k);
  }
  return result;
}

/// Whether a place lies on an image's pixels.
bool within(const Point& p, const Tensor& image) {
  return p[0] >= -0.5 && p[1] >= -0.5 && p[0] <= double(image.dim(1)) - 0.5 &&
         p[1] <= double(image.dim(0)) - 0.5;
}

}  // namespace

PhotoMatcher::PhotoMatcher(ResUNet& network, const PhotoMatcherOptions& options)
    : options_(options), network_(network), extract_(network) {
  const char* op = "match";
  require(options.rotations == 1 || options.rotations == 2 || options.rotations == 4,
          ErrorId::argument, op, options.rotations, " rotations; there are 1, 2 and 4");
  for (const double s : options.scales)
    require(s > 0 && s <= 8, ErrorId::argument, op, "a scale of ", s, " is not in 0..8");
  require(options.keypoints.kind != KeypointKind::score || network.score_head(), ErrorId::usage, op,
          "these weights have no score head. Hint: --keypoints corners or sift");
  // First the photo as it is, where a score head looks for keypoints.
  std::erase(options_.scales, 1.0);
  options_.scales.insert(options_.scales.begin(), 1.0);
}

Photo PhotoMatcher::read(const std::string& path) const {
  return read_photo(path, network_.config().inputs, options_.photo);
}

Tensor PhotoMatcher::detect(const Photo& photo) const {
  if (options_.correspond.mode == MatchMode::all_all ||
      options_.keypoints.kind == KeypointKind::score)
    return {};
  return detect_keypoints(photo.pixels, options_.keypoints);
}

void PhotoMatcher::require_room(const Tensor& pixels) const {
  const int64_t h = pixels.dim(0), w = pixels.dim(1), most = int64_t{4} << 30;
  // The layers before take no less where the features take less.
  const int64_t bytes = 4 * h * w * std::max<int64_t>(64, network_.config().outputs);
  require(bytes <= most, ErrorId::usage, "match", "the features of ", w, " x ", h,
          " px would take ", bytes >> 20,
          " MB. Hint: --mode keypoints, which sees large photos in tiles, or --max-size");
}

ScoreHead* PhotoMatcher::head_in_use() const {
  return options_.keypoints.kind == KeypointKind::score ? network_.score_head() : nullptr;
}

PhotoFeatures PhotoMatcher::look_at(const Tensor& pixels, const Tensor& dense) {
  require_room(pixels);
  PhotoFeatures whole{dense.defined() ? dense : extract_(pixels), {}, {}};
  if (ScoreHead* head = head_in_use()) whole.scores = score_map(*head, whole.dense);
  return whole;
}

Tensor PhotoMatcher::keypoints_of(const Tensor& pixels, const PhotoFeatures& whole) const {
  return options_.keypoints.kind == KeypointKind::score
             ? detect_by_score(whole.scores, options_.keypoints)
             : detect_keypoints(pixels, options_.keypoints);
}

namespace {

/// A keypoint of a tile, kept while the tile's dense features are not.
struct Described {
  std::array<double, 2> place;  // px of the photo
  float score;
  std::vector<float> descriptor;
};

}  // namespace

PhotoFeatures PhotoMatcher::in_tiles(const Tensor& pixels, const Tensor& keypoints) {
  const int64_t h = pixels.dim(0), w = pixels.dim(1), c = network_.config().outputs;
  ScoreHead* head = head_in_use();
  std::vector<Described> all(keypoints.defined() ? size_t(keypoints.dim(0)) : 0);
  const auto most = size_t(options_.keypoints.max_keypoints);
  extract_.in_tiles(pixels, options_.tile, [&](const Tensor& features, const Tile& t) {
    PhotoFeatures tile{features, {}, {}};
    if (head) tile.scores = score_map(*head, features);
    const Tensor found = keypoints.defined() ? keypoints : keypoints_of(pixels, tile);
    const double left = keypoints.defined() ? double(t.x) : 0,
                 top = keypoints.defined() ? double(t.y) : 0;
    std::vector<size_t> numbers;
    std::vector<double> places;
    for (int64_t k = 0; k < found.dim(0); ++k) {
      const double x = found.data<double>()[2 * k] - left,
                   y = found.data<double>()[2 * k + 1] - top;
      const auto column = std::clamp<int64_t>(std::llround(x) + t.x, 0, w - 1);
      const auto row = std::clamp<int64_t>(std::llround(y) + t.y, 0, h - 1);
      if (column < t.left || column >= t.right || row < t.top || row >= t.bottom) continue;
      if (!keypoints.defined()) all.emplace_back();
      numbers.push_back(keypoints.defined() ? size_t(k) : all.size() - 1);
      places.insert(places.end(), {x, y});
    }
    const auto n = int64_t(numbers.size());
    const PhotoFeatures inside = describe(features, Tensor::from({n, 2}, places));
    std::vector<float> scores(numbers.size());
    if (head) scores = scores_at(tile.scores, inside.keypoints);
    const Tensor rows = inside.descriptors.to(Device::cpu);
    for (size_t k = 0; k < numbers.size(); ++k) {
      const float* row = rows.data<float>() + int64_t(k) * c;
      all[numbers[k]] = {{places[2 * k] + double(t.x), places[2 * k + 1] + double(t.y)},
                         scores[k],
                         {row, row + c}};
    }
    if (keypoints.defined() || all.size() <= most) return;
    std::ranges::stable_sort(all, std::greater{}, &Described::score);
    all.resize(most);
  });
  if (!keypoints.defined()) std::ranges::stable_sort(all, std::greater{}, &Described::score);
  const auto n = int64_t(all.size());
  PhotoFeatures f{{},
                  Tensor::empty({n, 2}, DType::f64),
                  Tensor::zeros({n, c}),
                  {},
                  std::max(pixels.dim(0), pixels.dim(1))};
  for (int64_t k = 0; k < n; ++k) {
    const Described& d = all[size_t(k)];
    std::ranges::copy(d.place, f.keypoints.data<double>() + 2 * k);
    std::ranges::copy(d.descriptor, f.descriptors.data<float>() + k * c);
  }
  if (keypoints.defined()) f.keypoints = keypoints;
  f.descriptors = f.descriptors.to(network_.device());
  return f;
}

PhotoFeatures PhotoMatcher::features_of(const Tensor& pixels, const Tensor& keypoints) {
  const int64_t side = options_.tile + 2 * tile_margin;
  if (options_.correspond.mode == MatchMode::keypoints && options_.tile > 0 &&
      pixels.dim(0) * pixels.dim(1) > side * side)
    return in_tiles(pixels, keypoints);
  const PhotoFeatures whole = look_at(pixels);
  if (options_.correspond.mode == MatchMode::all_all) return whole;
  return describe(whole.dense, keypoints.defined() ? keypoints : keypoints_of(pixels, whole));
}

PreparedPhoto PhotoMatcher::prepare(Photo photo, Tensor keypoints, bool second) {
  PreparedPhoto prepared{std::move(photo), std::move(keypoints), {}};
  const Tensor& pixels = prepared.photo.pixels;
  for (const double scale : options_.scales)
    for (int turn = 0; turn < 4; turn += 4 / options_.rotations) {
      if (turn > 0 && !second) break;
      const auto extent = [&](int axis) {
        return std::max<int64_t>(1, std::llround(scale * double(pixels.dim(axis))));
      };
      const Tensor resized = resize_area(pixels, extent(0), extent(1));
      const Tensor seen = oriented(resized, clockwise[turn]).pixels;
      const int64_t h = resized.dim(0), w = resized.dim(1);
      const Homography to_photo = compose(resizing(h, w, pixels.dim(0), pixels.dim(1)),
                                          turned_back(turn, double(h), double(w)));
      Tensor places;
      if (prepared.keypoints.defined()) places = mapped(prepared.keypoints, inverse(to_photo));
      prepared.views.push_back({features_of(seen, places), to_photo, scale, 90 * turn});
      // The first view is the photo itself; what its features found, all others have too.
      if (!prepared.keypoints.defined()) prepared.keypoints = prepared.views[0].features.keypoints;
    }
  return prepared;
}

PhotoMatcher::Best PhotoMatcher::match_views(std::span<const PhotoView> views0,
                                             std::span<const PhotoView> views1) const {
  Best best{{}, nullptr, nullptr};
  for (const PhotoView& v0 : views0) {
    if (v0.rotation != 0) continue;  // turning one is enough
    for (const PhotoView& v1 : views1) {
      // Both reduced alike tells nothing new.
      if (best.view0 && v1.scale < 1 && v0.scale < 1) continue;
      Correspondences found = correspond(v0.features, v1.features, options_.correspond);
      if (best.view0 && found.matches.size() <= best.found.matches.size()) continue;
      best = {std::move(found), &v0, &v1};
    }
  }
  return best;
}

std::optional<Alignment> PhotoMatcher::first_look(const Photo& photo0, const Photo& photo1) {
  if (!looks_twice()) return std::nullopt;
  require_room(photo0.pixels);
  require_room(photo1.pixels);
  AlignOptions options = options_.alignment;
  options.seed = options_.correspond.seed;
  // Each surface keeps the features of a window or two.
  const auto area = [](const Photo& p) { return p.pixels.dim(0) * p.pixels.dim(1); };
  if (std::max(area(photo0), area(photo1)) > int64_t{1} << 22) options.surfaces = 1;
  return align(extract_, photo0.pixels, photo1.pixels, options);
}

PreparedPhoto PhotoMatcher::prepare(Photo photo, const std::optional<Alignment>& look,
                                    size_t index) {
  if (!look) {
    const Tensor keypoints = detect(photo);
    return prepare(std::move(photo), keypoints, index == 1);
  }
  PreparedPhoto prepared{std::move(photo), {}, {}};
  const Tensor& pixels = prepared.photo.pixels;
  for (size_t k = 0; k < look->surfaces.size(); ++k) {
    const Window& window = look->surfaces[k].windows[index];
    size_t same = 0;  // one of the two windows of each surface is the whole photo
    while (look->surfaces[same].windows[index] != window) ++same;
    if (same < k) {
      prepared.views.push_back(prepared.views[same]);
      continue;
    }
    const Tensor seen = look_through(window, pixels);
    const PhotoFeatures f =
        look_at(seen, window == whole(pixels) ? look->features[index] : Tensor());
    const Tensor keypoints = on_photo(keypoints_of(seen, f), window, pixels);
    prepared.views.push_back({describe(f.dense, keypoints), window.to_photo});
  }
  return prepared;
}

PhotoMatches PhotoMatcher::match(const PreparedPhoto& photo0, const PreparedPhoto& photo1) const {
  // The windows of one surface belong together; other views compete.
  std::vector<Best> all;
  if (looks_twice() && !photo0.keypoints.defined())  // by windows
    for (size_t k = 0; k < photo0.views.size(); ++k)
      all.push_back(match_views({&photo0.views[k], 1}, {&photo1.views[k], 1}));
  else
    all.push_back(match_views(photo0.views, photo1.views));

  PhotoMatches result;
  result.view0 = all[0].view0;
  result.view1 = all[0].view1;
  const auto count = [](const PhotoView& v) {
    return v.features.keypoints.defined() ? v.features.keypoints.dim(0) : 0;
  };
  result.keypoints0 = count(*result.view0);
  result.keypoints1 = count(*result.view1);
  const Image &image0 = photo0.photo.original, &image1 = photo1.photo.original;
  const auto enlarging = [](const PreparedPhoto& p) {
    const Image& image = p.photo.original;
    return resizing(p.photo.pixels.dim(0), p.photo.pixels.dim(1), image.height(), image.width());
  };
  const Homography enlarging0 = enlarging(photo0), enlarging1 = enlarging(photo1);
  std::vector<Correspondence>& matches = result.found.matches;
  std::vector<Correspondences::Stage>& stages = result.found.stages;
  int64_t found = 0;
  for (const Best& best : all) {
    const Homography map0 = compose(enlarging0, best.view0->to_photo),
                     map1 = compose(enlarging1, best.view1->to_photo);
    // False beyond a photo's border, which a window may show.
    const auto to_originals = [&](Correspondence& m) {
      const Point p0 = apply(map0, m.x0, m.y0), p1 = apply(map1, m.x1, m.y1);
      std::tie(m.x0, m.y0, m.x1, m.y1) = std::tie(p0[0], p0[1], p1[0], p1[1]);
      return within(p0, image0.pixels) && within(p1, image1.pixels);
    };
    for (Correspondence m : best.found.matches)
      if (to_originals(m)) matches.push_back(m);
    for (Correspondences::Removed r : best.found.removed)
      if (to_originals(r.match)) result.found.removed.push_back(r);
    for (const Correspondences::Stage& s : best.found.stages) {
      const auto known = std::ranges::find(stages, s.name, &Correspondences::Stage::name);
      if (known == stages.end())
        stages.push_back(s);
      else
        known->left += s.left;
    }
    result.found.exact = std::min(result.found.exact, best.found.exact);
    found += int64_t(best.found.matches.size());
  }
  if (int64_t(matches.size()) < found) stages.push_back({"borders", int64_t(matches.size())});
  if (all.size() > 1) {
    sort_best_first(matches);
    // What two surfaces show is found with both, to within a pixel of either.
    keep_one_per_place(matches, 2 * local_scale(enlarging0, 0, 0),
                       2 * local_scale(enlarging1, 0, 0));
    stages.push_back({"joining surfaces", int64_t(matches.size())});
  }
  for (const Correspondence& m : matches) {
    const auto a = image0.to_stored(m.x0, m.y0), b = image1.to_stored(m.x1, m.y1);
    result.stored.push_back({a[0], a[1], b[0], b[1]});
  }
  return result;
}

}  // namespace cairn::ucn

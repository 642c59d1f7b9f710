#include "ucn/match_photos.h"

#include <algorithm>
#include <cmath>

#include "data/image.h"
#include "ucn/same_scene.h"

namespace cairn::ucn {
namespace {

/// Says whether a photo shows anything within 4 px, as seen, of a place of its original: gray
/// levels that differ by 8 of 255.
class Contrast {
 public:
  explicit Contrast(const Photo& photo)
      : gray_(to_gray(photo.pixels)),
        scale_x_(double(gray_.dim(1)) / double(photo.original.width())),
        scale_y_(double(gray_.dim(0)) / double(photo.original.height())) {}

  bool at(double x, double y) const {
    const int64_t h = gray_.dim(0), w = gray_.dim(1);
    const int64_t column = std::llround((x + 0.5) * scale_x_ - 0.5),
                  row = std::llround((y + 0.5) * scale_y_ - 0.5);
    const uint8_t* pixels = gray_.data<uint8_t>();
    uint8_t least = 255, most = 0;
    for (int64_t i = std::max<int64_t>(0, row - 4); i <= std::min(h - 1, row + 4); ++i)
      for (int64_t j = std::max<int64_t>(0, column - 4); j <= std::min(w - 1, column + 4); ++j) {
        least = std::min(least, pixels[i * w + j]);
        most = std::max(most, pixels[i * w + j]);
      }
    return most - least >= 8;
  }

 private:
  Tensor gray_;
  double scale_x_, scale_y_;
};

/// Of all pixels' matches, best first, what can witness for a scene: those where both photos show
/// something (what is plain matches along the borders), and that lie apart; at most some thousand.
std::vector<PointPair> witnesses(const MatchedPhotos& m) {
  const Contrast contrast0(m.photo0.photo), contrast1(m.photo1.photo);
  std::vector<PointPair> matches;
  for (size_t k = 0; k < m.found.stored.size(); ++k) {
    const Correspondence& match = m.found.found.matches[k];
    if (contrast0.at(match.x0, match.y0) && contrast1.at(match.x1, match.y1))
      matches.push_back(m.found.stored[k]);
  }
  Tensor places[2];
  double radius[2];
  for (size_t i = 0; i < 2; ++i) {
    places[i] = Tensor::empty({int64_t(matches.size()), 2}, DType::f64);
    double* at = places[i].data<double>();
    double extent = 0;
    for (const PointPair& m : matches) {
      *at++ = i == 0 ? m.x0 : m.x1;
      *at++ = i == 0 ? m.y0 : m.y1;
      extent = std::max({extent, at[-2], at[-1]});
    }
    radius[i] = std::max(4.0, extent / 64);
  }
  std::vector<PointPair> some;
  for (const int64_t k : apart(places[0], places[1], radius[0], radius[1]))
    some.push_back(matches[size_t(k)]);
  return some;
}

/// The keypoints in stored px; the matched ones may have been moved.
void number_keypoints(MatchedPhotos& m) {
  const auto stored = [](const PreparedPhoto& p) {
    std::vector<Point> points;
    for (int64_t k = 0; k < p.keypoints.dim(0); ++k) {
      const double* at = p.keypoints.data<double>() + 2 * k;
      points.push_back(p.photo.to_stored(at[0], at[1]));
    }
    return points;
  };
  m.file.photo0.keypoints = stored(m.photo0);
  m.file.photo1.keypoints = stored(m.photo1);
  for (size_t k = 0; k < m.file.matches.size(); ++k) {
    const Correspondence& match = m.found.found.matches[k];
    const PointPair& ends = m.file.matches[k];
    m.file.photo0.keypoints[size_t(match.keypoint0)] = {ends.x0, ends.y0};
    m.file.photo1.keypoints[size_t(match.keypoint1)] = {ends.x1, ends.y1};
    m.file.numbers.push_back({match.keypoint0, match.keypoint1});
  }
}

void verify(MatchedPhotos& m, const MatcherSettings& s) {
  MatchFile& file = m.file;
  const RansacOptions ransac{
      .threshold = s.threshold, .seed = s.options.correspond.seed, .best_first = true};
  for (size_t k = 0; k < 2; ++k) {
    const MatchFile::Photo& p = k == 0 ? file.photo0 : file.photo1;
    const double f = s.focal.empty() ? 1.2 * double(std::max(p.width, p.height))
                                     : s.focal[std::min(k, s.focal.size() - 1)];
    m.cameras[k] = {f, f, double(p.width - 1) / 2, double(p.height - 1) / 2};
  }
  file.geometry = estimate_geometry(geometry(s.verify), file.matches, ransac, m.cameras);
  // Neighbouring pixels are no witnesses of their own.
  const bool dense = s.options.correspond.mode == MatchMode::all_all;
  file.same_scene = dense ? same_scene(witnesses(m), {}, ransac)
                          : same_scene(file.matches, file.geometry, ransac);
}

}  // namespace

MatchedPhotos match_photos(PhotoMatcher& matcher, const MatcherSettings& settings, Photo photo0,
                           Photo photo1, const Stage& stage) {
  MatchedPhotos m;
  if (matcher.looks_twice())
    stage("first look", [&] { m.look = matcher.first_look(photo0, photo1); });
  stage("features of A", [&] { m.photo0 = matcher.prepare(std::move(photo0), m.look, 0); });
  stage("features of B", [&] { m.photo1 = matcher.prepare(std::move(photo1), m.look, 1); });
  stage("matching", [&] { m.found = matcher.match(m.photo0, m.photo1); });
  m.file = as_file(m.found);
  const auto size = [](const Photo& p, MatchFile::Photo& to) {
    to.width = p.original.stored_width;
    to.height = p.original.stored_height;
  };
  size(m.photo0.photo, m.file.photo0);
  size(m.photo1.photo, m.file.photo1);
  if (settings.options.correspond.mode == MatchMode::keypoints) number_keypoints(m);
  if (settings.verify != "none") stage("geometry", [&] { verify(m, settings); });
  return m;
}

}  // namespace cairn::ucn

// From two photos to correspondences in the pixels of their files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ucn/alignment.h"
#include "ucn/correspond.h"
#include "ucn/keypoints.h"
#include "ucn/photo.h"

namespace cairn::ucn {

struct PhotoMatcherOptions {
  PhotoOptions photo{.max_size = 1024};
  KeypointOptions keypoints;
  CorrespondOptions correspond;
  /// Photos are also seen at these scales (1 is always among them) and, the second of a pair,
  /// turned by quarter turns; the combination with most matches counts.
  std::vector<double> scales = {1};
  int rotations = 1;  ///< 1: upright alone; 2: also upside down; 4: all quarter turns
  /// Mode keypoints: photos of more pixels are seen in tiles of this side, px, without ever holding
  /// all their features. 0: whole.
  int64_t tile = 768;
  /// Mode all: look twice. The first look tells how the photos lie to each other; for the second
  /// one photo is resampled so that what both show has one scale and orientation. Takes the place
  /// of scales and rotations.
  bool align = true;
  AlignOptions alignment;
};

/// One way of looking at a photo: its features, and the way back.
struct PhotoView {
  PhotoFeatures features;
  Homography to_photo;  ///< px of the view to those of Photo::pixels
  double scale = 1;
  int rotation = 0;  ///< degrees clockwise
};

/// A photo with all that matching needs of it.
struct PreparedPhoto {
  Photo photo;
  Tensor keypoints;  ///< K x 2 f64, px of photo.pixels; undefined in mode all_all and aligned
  std::vector<PhotoView> views;  ///< aligned: one for each surface
};

struct PhotoMatches {
  /// In the pixels of the upright originals; of several surfaces, with what each filter took from
  /// one of them, even where another has it.
  Correspondences found;
  std::vector<PointPair> stored;           ///< the same in the pixel grids of the files
  int64_t keypoints0 = 0, keypoints1 = 0;  ///< of the views below
  /// Those that had most matches, of the prepared photos; aligned, of the first surface.
  const PhotoView *view0 = nullptr, *view1 = nullptr;
};

class PhotoMatcher {
 public:
  /// `network` must outlive the matcher. Throws ErrorId::argument for options that make no sense,
  /// ErrorId::usage for the score's keypoints without a score head.
  PhotoMatcher(ResUNet& network, const PhotoMatcherOptions& options);
  const PhotoMatcherOptions& options() const { return options_; }
  FeatureExtractor& extractor() { return extract_; }
  Photo read(const std::string& path) const;
  /// K x 2 f64, px of photo.pixels; undefined in mode all_all, and where the score head finds them
  /// in the features.
  Tensor detect(const Photo& photo) const;
  /// Features at `keypoints` (from detect(), or anyone's) or everywhere. The second of a pair is
  /// also seen turned, where that was asked for.
  PreparedPhoto prepare(Photo photo, Tensor keypoints, bool second);
  /// Whether options() ask for two looks.
  bool looks_twice() const { return options_.align && options_.correspond.mode == MatchMode::all; }
  /// How two photos lie to each other; none where one look is enough.
  std::optional<Alignment> first_look(const Photo& photo0, const Photo& photo1);
  /// One photo of the pair, the first (0) or second (1), as its window shows it, with keypoints of
  /// that; without an alignment as prepare() above, at keypoints from detect().
  PreparedPhoto prepare(Photo photo, const std::optional<Alignment>& look, size_t index);
  PhotoMatches match(const PreparedPhoto& photo0, const PreparedPhoto& photo1) const;

  /// The combination of views with most matches, in the px of those views.
  struct Best {
    Correspondences found;
    const PhotoView *view0, *view1;
  };
  Best match_views(std::span<const PhotoView> views0, std::span<const PhotoView> views1) const;

 private:
  /// Throws ErrorId::usage when all features of an image would take too much memory.
  void require_room(const Tensor& pixels) const;
  Tensor keypoints_of(const Tensor& pixels, const PhotoFeatures& whole) const;
  /// The network's, where keypoints are to be its choice; else null.
  ScoreHead* head_in_use() const;
  /// `dense`: the features, where they are known.
  PhotoFeatures look_at(const Tensor& pixels, const Tensor& dense = {});
  PhotoFeatures in_tiles(const Tensor& pixels, const Tensor& keypoints);
  PhotoFeatures features_of(const Tensor& pixels, const Tensor& keypoints);
  PhotoMatcherOptions options_;
  ResUNet& network_;
  FeatureExtractor extract_;
};

}  // namespace cairn::ucn

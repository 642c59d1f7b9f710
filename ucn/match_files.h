// The matches of two photos as files that others read.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ucn/photo_matcher.h"

namespace cairn::ucn {

/// Coordinates are of the stored pixel grids; (0, 0) is the centre of the top-left pixel.
struct MatchFile {
  struct Photo {
    std::string path;
    int64_t width = 0, height = 0;
    std::vector<Point> keypoints;  ///< those that were looked at; empty: just the matches' ends
  };
  Photo photo0, photo1;
  std::vector<PointPair> matches;
  std::vector<double> scores;      ///< one per match
  std::vector<double> confidence;  ///< match_confidence(), one per match, or none: not judged
  /// Numbers of the ends among the keypoints, one per match, where these are given.
  std::vector<std::array<int64_t, 2>> numbers;
  TwoView geometry;        ///< kind none: not verified
  double same_scene = -1;  ///< probability that both show one scene; < 0: not known
};

/// What was found, and how sure it is; nothing of the photos.
MatchFile as_file(const PhotoMatches& found);

/// x0,y0,x1,y1,score; confidence, where it is known; inlier (0 or 1) where matches were verified.
std::string to_csv(const MatchFile& file);
std::string to_json(const MatchFile& file);
/// OpenCV's FileStorage (YAML): points0, points1 (N x 2), scores, confidence where it is known,
/// and, where matches were verified, inliers and the matrix.
std::string to_opencv_yaml(const MatchFile& file);
/// SuperGlue's: keypoints0, keypoints1 (K x 2 f32), matches (K0 i64: the number of the keypoint in
/// photo 1, -1: none) and match_confidence (K0 f32): the score.
void write_superglue_npz(const std::string& path, const MatchFile& file);

/// Writes by the ending: .csv, .json, .yml (or .yaml), .npz; whole or not at all. Throws
/// ErrorId::usage for another, ErrorId::io.
void write_matches(const std::string& path, const MatchFile& file);
/// The matches and scores of a .csv or .npz of these. Throws ErrorId::io, ErrorId::format.
MatchFile read_matches(const std::string& path);

}  // namespace cairn::ucn

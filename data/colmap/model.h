// COLMAP's sparse reconstructions: cameras, photos with poses, and the points they share.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/colmap/camera.h"

namespace cairn {

/// A point that a photo observes.
struct Observation {
  double x, y;  ///< px; (0.5, 0.5) is the centre of the top-left pixel
  uint64_t point;
};

struct PosedImage {
  std::string name;  ///< the photo's path below the folder of photos
  uint32_t camera = 0;
  std::array<double, 9> rotation{};     ///< from the world to the camera, row-major
  std::array<double, 3> translation{};  ///< x_camera = rotation x_world + translation
  /// Those that belong to a point, by the point's number.
  std::vector<Observation> observations;
};

struct ColmapModel {
  std::map<uint32_t, Camera> cameras;
  std::vector<PosedImage> images;  ///< by their number in the file
  std::unordered_map<uint64_t, std::array<double, 3>> points;
};

/// Reads cameras, images and points3D from a folder: the .bin files or, if there are none, the .txt
/// ones. Throws ErrorId::io when a file is missing and ErrorId::format when one is damaged, says
/// impossible things (NaN, a focal length of 0) or names what another does not have.
ColmapModel read_colmap_model(const std::string& folder);

/// The three files' bytes, in that order; `names` stand for them in errors.
ColmapModel parse_colmap_model(const std::array<std::span<const uint8_t>, 3>& files, bool binary,
                               const std::array<std::string, 3>& names = {"cameras", "images",
                                                                          "points3D"});

/// Where a camera with this pose sees a point of the world.
std::array<double, 3> to_camera(const PosedImage& image, const std::array<double, 3>& world);
/// The point of the world that a camera with this pose sees there.
std::array<double, 3> to_world(const PosedImage& image, const std::array<double, 3>& seen);
/// Where the camera is.
std::array<double, 3> camera_center(const PosedImage& image);
/// The distance in pixels between an observation and where its point should be seen; NaN when that
/// is behind the camera.
double reprojection_error(const ColmapModel& model, const PosedImage& image,
                          const Observation& observation);

}  // namespace cairn

// COLMAP's cameras: from a direction to a pixel.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

/// A lens model: its name and number are COLMAP's, parameters are in COLMAP's order: one or two
/// focal lengths (px), the principal point (px), then the distortion.
struct CameraModel {
  std::string name;
  int parameters;
  bool two_focal_lengths;
  /// Where the lens moves the point (u, v) of the plane at depth 1.
  std::array<double, 2> (*distort)(double u, double v, const double* k);
};

/// All, by COLMAP's number: SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, OPENCV, OPENCV_FISHEYE,
/// FULL_OPENCV, FOV, SIMPLE_RADIAL_FISHEYE, RADIAL_FISHEYE, THIN_PRISM_FISHEYE.
const std::vector<CameraModel>& camera_models();

struct Camera {
  const CameraModel* model = nullptr;
  int64_t width = 0, height = 0;
  std::vector<double> parameters;
};

/// The pixel, (0.5, 0.5) being the centre of the top-left one, that sees the point x of the
/// camera's frame (x right, y down, z forwards). NaN behind the camera.
std::array<double, 2> project(const Camera& camera, const std::array<double, 3>& x);

/// The point at depth 1 that the pixel sees: the inverse, by Newton's method. NaN where that does
/// not converge.
std::array<double, 3> unproject(const Camera& camera, double x, double y);

}  // namespace cairn

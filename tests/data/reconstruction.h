// A small reconstruction with its photos, for the tests of what reads it.
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "data/colmap/model.h"
#include "data/image.h"
#include "tensor/file.h"
#include "tensor/random.h"

namespace cairn::test {

/// The three files of a reconstruction, written by hand.
struct Files {
  std::array<std::string, 3> bytes;

  template <class... T>
  void binary(size_t file, T... values) {
    (bytes[file].append(reinterpret_cast<const char*>(&values), sizeof values), ...);
  }
  template <class... T>
  void text(size_t file, T... values) {
    ((bytes[file] += cat(values, " ")), ...);
  }
  void end(size_t file) { bytes[file] += "\n"; }
  void write(const std::string& folder, const char* ending) const {
    const char* names[] = {"cameras", "images", "points3D"};
    for (size_t i = 0; i < 3; ++i)
      write_file_atomically(cat(folder, "/", names[i], ending), bytes[i]);
  }
  ColmapModel parse(bool binary) const {
    std::array<std::span<const uint8_t>, 3> spans;
    for (size_t i = 0; i < 3; ++i)
      spans[i] = {reinterpret_cast<const uint8_t*>(bytes[i].data()), bytes[i].size()};
    return parse_colmap_model(spans, binary);
  }
};

constexpr int64_t side = 200;  // px of the photos
constexpr double focal = 200;

/// Cameras on a circle of radius 4 around the origin, all looking at it, at these angles.
struct Scene {
  std::vector<double> degrees{0, 10, 30, 80};
  std::vector<std::array<double, 3>> points;

  Scene() {
    Random random(3);
    for (int i = 0; i < 80; ++i)
      points.push_back(
          {random.uniform(-0.8, 0.8), random.uniform(-0.8, 0.8), random.uniform(-0.8, 0.8)});
  }
  static std::string name(size_t image) { return cat("photo", image, ".png"); }
  std::array<double, 4> quaternion(size_t image) const {
    const double half = degrees[image] * M_PI / 360;
    return {std::cos(half), 0, std::sin(half), 0};
  }
  std::array<double, 2> seen(size_t image, size_t point) const {
    const double a = degrees[image] * M_PI / 180;
    const auto [x, y, z] = points[point];
    const double cx = std::cos(a) * x + std::sin(a) * z, cz = std::cos(a) * z - std::sin(a) * x + 4;
    return {focal * cx / cz + side / 2, focal * y / cz + side / 2};
  }
  /// What the cameras would see if there were, around the points, a wall at z = 1 and a square
  /// screen of half width 0.4 in front of it, at z = -0.6: along the ray through `from` and `to`,
  /// from 0 there and 1 here.
  static double wall(const std::array<double, 3>& from, const std::array<double, 3>& to) {
    const auto at = [&](double z) { return (z - from[2]) / (to[2] - from[2]); };
    const double screen = at(-0.6);
    const double x = from[0] + screen * (to[0] - from[0]), y = from[1] + screen * (to[1] - from[1]);
    return screen > 0 && std::fabs(x) <= 0.4 && std::fabs(y) <= 0.4 ? screen : at(1);
  }
  /// The depths of the wall and the screen, H x W f32.
  Tensor depth(const ColmapModel& model, size_t image, int64_t h, int64_t w) const {
    const PosedImage& posed = model.images[image];
    const auto eye = camera_center(posed);
    Tensor depth = Tensor::zeros({h, w});
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) {
        const auto ray =
            unproject(model.cameras.at(posed.camera), (double(x) + 0.5) * side / double(w),
                      (double(y) + 0.5) * side / double(h));
        depth.data<float>()[y * w + x] = float(wall(eye, to_world(posed, ray)));
      }
    return depth;
  }
  Files binary() const {
    Files f;
    f.binary(0, uint64_t(1), uint32_t(7), int32_t(0), side, side, focal, side / 2.0, side / 2.0);
    f.binary(1, uint64_t(degrees.size()));
    for (size_t i = 0; i < degrees.size(); ++i) {
      const auto q = quaternion(i);
      f.binary(1, uint32_t(i + 1), q[0], q[1], q[2], q[3], 0.0, 0.0, 4.0, uint32_t(7));
      f.bytes[1] += name(i);
      f.binary(1, '\0', uint64_t(points.size() + 1), 5.0, 6.0, uint64_t(-1));
      for (size_t k = 0; k < points.size(); ++k)
        f.binary(1, seen(i, k)[0], seen(i, k)[1], uint64_t(1000 - k));
    }
    f.binary(2, uint64_t(points.size()));
    for (size_t k = 0; k < points.size(); ++k)
      f.binary(2, uint64_t(1000 - k), points[k][0], points[k][1], points[k][2], uint8_t(1),
               uint8_t(2), uint8_t(3), 0.5, uint64_t(1), uint32_t(1), uint32_t(0));
    return f;
  }
  Files text() const {
    Files f;
    f.bytes[0] = "# a comment\n\n";
    f.text(0, 7, "SIMPLE_PINHOLE", side, side, focal, side / 2, side / 2);
    f.end(0);
    for (size_t i = 0; i < degrees.size(); ++i) {
      const auto q = quaternion(i);
      char line[200];
      std::snprintf(line, sizeof line, "%zu %.17g %.17g %.17g %.17g 0 0 4 7 %s\n", i + 1, q[0],
                    q[1], q[2], q[3], name(i).c_str());
      f.bytes[1] += line;
      f.bytes[1] += "5 6 -1";
      for (size_t k = 0; k < points.size(); ++k) {
        std::snprintf(line, sizeof line, " %.17g %.17g %zu", seen(i, k)[0], seen(i, k)[1],
                      1000 - k);
        f.bytes[1] += line;
      }
      f.bytes[1] += "\r\n";
    }
    for (size_t k = 0; k < points.size(); ++k) {
      char line[200];
      std::snprintf(line, sizeof line, "%zu %.17g %.17g %.17g 1 2 3 0.5 1 0\n", 1000 - k,
                    points[k][0], points[k][1], points[k][2]);
      f.bytes[2] += line;
    }
    return f;
  }
  /// Black photos with a soft white dot where each point is seen.
  void write_photos(const std::string& folder, int64_t factor = 1) const {
    for (size_t i = 0; i < degrees.size(); ++i) {
      Tensor photo = Tensor::zeros({side * factor, side * factor, 1}, DType::u8);
      for (size_t k = 0; k < points.size(); ++k) {
        const auto at = seen(i, k);
        const double x = at[0] * double(factor) - 0.5, y = at[1] * double(factor) - 0.5;
        for (int64_t v = 0; v < side * factor; ++v)
          for (int64_t u = 0; u < side * factor; ++u) {
            const double r2 = (double(u) - x) * (double(u) - x) + (double(v) - y) * (double(v) - y);
            if (r2 > 25) continue;
            uint8_t& p = photo.data<uint8_t>()[v * side * factor + u];
            p = std::max(p, uint8_t(std::lround(255 * std::exp(-r2 / 4.5))));
          }
      }
      write_png(folder + "/" + name(i), photo);
    }
  }
};

}  // namespace cairn::test

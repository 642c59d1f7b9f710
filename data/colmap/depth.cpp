#include "data/colmap/depth.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "data/hdf5.h"
#include "tensor/file.h"

namespace cairn {
namespace {

constexpr int64_t max_pixels = int64_t{1} << 26;

}  // namespace

std::string find_depth_map(const std::string& folder, const std::string& name) {
  const std::filesystem::path photo = std::filesystem::path(folder) / name;
  std::error_code ignored;
  for (const char* ending : {".geometric.bin", ".photometric.bin"})
    if (const std::string path = photo.string() + ending; std::filesystem::exists(path, ignored))
      return path;
  const std::string path = std::filesystem::path(photo).replace_extension(".h5");
  return std::filesystem::exists(path, ignored) ? path : "";
}

Tensor parse_depth_map(std::span<const uint8_t> bytes, const std::string& name) {
  const auto check = [&](bool ok, const std::string& what) {
    require(ok, ErrorId::format, "depth", name, ": ", what);
  };
  const char *p = reinterpret_cast<const char*>(bytes.data()), *end = p + bytes.size();
  int64_t size[3]{};
  for (int64_t& n : size) {
    const auto [after, error] = std::from_chars(p, end, n);
    check(error == std::errc() && after != end && *after == '&', "it is no depth map of COLMAP's");
    p = after + 1;
  }
  const auto [w, h, channels] = size;
  check(channels == 1 && w >= 1 && h >= 1 && w <= max_pixels && h <= max_pixels / w,
        cat("it says that it is ", w, " x ", h, " x ", channels));
  check(end - p == 4 * w * h, cat("it has ", end - p, " bytes of depths, not ", 4 * w * h));
  Tensor depth = Tensor::empty({h, w});
  std::memcpy(depth.raw(), p, size_t(end - p));
  return depth;
}

Tensor read_depth_map(const std::string& path) {
  if (!path.ends_with(".h5")) return parse_depth_map(read_file(path, 1 << 29, "depth"), path);
  const Tensor depth = read_hdf5(path, {{"depth", max_pixels}})[0];
  require(depth.rank() == 2 && depth.numel() > 0, ErrorId::format, "depth", "'", path,
          "': its data set 'depth' is ", depth.shape(), ", not height x width");
  return depth.to(DType::f32);
}

std::optional<std::array<double, 3>> DepthView::seen_at(const Point& pixel) const {
  const int64_t h = depth->dim(0), w = depth->dim(1);
  // In the map's pixels, whose centres are whole numbers.
  const double x = pixel[0] * double(w) / double(camera->width) - 0.5;
  const double y = pixel[1] * double(h) / double(camera->height) - 0.5;
  if (!(x >= -0.5 && y >= -0.5 && x <= double(w) - 0.5 && y <= double(h) - 0.5)) return {};
  const auto x0 = std::clamp<int64_t>(int64_t(std::floor(x)), 0, std::max<int64_t>(w - 2, 0));
  const auto y0 = std::clamp<int64_t>(int64_t(std::floor(y)), 0, std::max<int64_t>(h - 2, 0));
  const int64_t x1 = std::min(x0 + 1, w - 1), y1 = std::min(y0 + 1, h - 1);
  const double a = x - double(x0), b = y - double(y0);
  const float* d = depth->data<float>();
  const double corners[] = {d[y0 * w + x0], d[y0 * w + x1], d[y1 * w + x0], d[y1 * w + x1]};
  const auto [least, most] = std::ranges::minmax(corners);
  for (double c : corners)
    if (!(c > 0 && std::isfinite(c))) return {};
  if (most > 1.05 * least) return {};
  // Over a plane it is 1 / depth that is linear.
  const double inverse = (1 - b) * ((1 - a) / corners[0] + a / corners[1]) +
                         b * ((1 - a) / corners[2] + a / corners[3]);
  const auto ray = unproject(*camera, pixel[0], pixel[1]);
  if (!std::isfinite(ray[0]) || !(inverse > 0)) return {};
  return to_world(*image, {ray[0] / inverse, ray[1] / inverse, 1 / inverse});
}

std::optional<Point> follow_depth(const DepthView& view0, const DepthView& view1,
                                  const Point& pixel, double max_error) {
  const auto point = view0.seen_at(pixel);
  if (!point) return {};
  const Point there = project(*view1.camera, to_camera(*view1.image, *point));
  const auto nearer = view1.seen_at(there);
  if (!nearer) return {};
  const Point back = project(*view0.camera, to_camera(*view0.image, *nearer));
  if (!(std::hypot(back[0] - pixel[0], back[1] - pixel[1]) <= max_error)) return {};
  return there;
}

}  // namespace cairn

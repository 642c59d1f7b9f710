#include "data/photo_cache.h"

#include <algorithm>

#include "data/image.h"

namespace cairn {
namespace {

Pyramid read_photo(int64_t index, const std::string& path, const PhotoCacheOptions& o) {
  ReadOptions how;
  how.channels = o.channels;
  how.respect_exif = o.respect_exif;
  Tensor pixels = read_image(path, how).pixels;
  const int64_t h = pixels.dim(0), w = pixels.dim(1), longer = std::max(h, w);
  require(std::min(h, w) >= 16, ErrorId::format, "read_image", "'", path, "' has only ", w, " x ",
          h, " pixels, at least 16 x 16 are needed");
  if (!o.sizes.empty()) {
    const auto [width, height] = o.sizes[size_t(index)];
    // Up to rounding of the shorter side.
    require(std::abs(w * height - h * width) <= std::max(width, height), ErrorId::format,
            "read_image", "'", path, "' has ", w, " x ", h, " pixels, not ", width, " x ", height,
            " or in proportion");
  }
  if (longer > o.max_side) {
    const auto reduce = [&](int64_t side) {
      return std::max<int64_t>(16, (side * o.max_side + longer / 2) / longer);
    };
    pixels = resize_area(pixels, reduce(h), reduce(w));
  }
  return Pyramid(pixels);
}

}  // namespace

PhotoCache::PhotoCache(std::vector<std::string> paths, const Options& options)
    : FileCache(std::move(paths), options.max_bytes,
                [options](int64_t index, const std::string& path) {
                  return read_photo(index, path, options);
                }) {}

}  // namespace cairn

#include "data/photo_cache.h"

#include <algorithm>

#include "data/image.h"
#include "tensor/error.h"

namespace cairn {

PhotoCache::PhotoCache(std::vector<std::string> paths, const Options& options)
    : paths_(std::move(paths)), options_(options) {}

std::shared_ptr<const Pyramid> PhotoCache::read(int64_t index) const {
  ReadOptions options;
  options.channels = options_.channels;
  options.respect_exif = options_.respect_exif;
  Tensor pixels = read_image(path(index), options).pixels;
  const int64_t h = pixels.dim(0), w = pixels.dim(1), longer = std::max(h, w);
  require(std::min(h, w) >= 16, ErrorId::format, "read_image", "'", path(index), "' has only ", w,
          " x ", h, " pixels, at least 16 x 16 are needed");
  if (!options_.sizes.empty()) {
    const auto [width, height] = options_.sizes[size_t(index)];
    // Up to rounding of the shorter side.
    require(std::abs(w * height - h * width) <= std::max(width, height), ErrorId::format,
            "read_image", "'", path(index), "' has ", w, " x ", h, " pixels, not ", width, " x ",
            height, " or in proportion");
  }
  if (longer > options_.max_side) {
    const auto reduce = [&](int64_t side) {
      return std::max<int64_t>(16, (side * options_.max_side + longer / 2) / longer);
    };
    pixels = resize_area(pixels, reduce(h), reduce(w));
  }
  return std::make_shared<const Pyramid>(pixels);
}

std::shared_ptr<const Pyramid> PhotoCache::get(int64_t index) {
  {
    std::lock_guard lock(mutex_);
    if (broken_indices_.contains(index)) return nullptr;
    if (const auto found = entries_.find(index); found != entries_.end()) {
      order_.splice(order_.begin(), order_, found->second.used);
      return found->second.photo;
    }
  }
  std::shared_ptr<const Pyramid> photo;
  try {
    photo = read(index);
  } catch (const Error& error) {
    if (error.id() != ErrorId::io && error.id() != ErrorId::format) throw;
    std::lock_guard lock(mutex_);
    if (broken_indices_.insert(index).second) broken_.push_back({path(index), error.what()});
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  if (entries_.contains(index)) return photo;  // another thread was faster; both read the same
  order_.push_front(index);
  entries_[index] = {photo, order_.begin()};
  bytes_ += photo->nbytes();
  while (bytes_ > options_.max_bytes && order_.size() > 1) {
    const auto oldest = entries_.find(order_.back());
    bytes_ -= oldest->second.photo->nbytes();
    entries_.erase(oldest);
    order_.pop_back();
  }
  return photo;
}

std::vector<BrokenPhoto> PhotoCache::broken() const {
  std::lock_guard lock(mutex_);
  return broken_;
}

}  // namespace cairn

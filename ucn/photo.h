// One photo on its way to matches: what the network sees, and how to get back to the file.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/image.h"
#include "nn/plan.h"
#include "tensor/graph.h"
#include "ucn/resunet.h"

namespace cairn::ucn {

struct PhotoOptions {
  bool respect_exif = true;  ///< the network sees the upright photo
  int orientation = 0;       ///< instead of the file's: EXIF's 1..8; 0: the file's
  double scale = 1;          ///< of the input
  int64_t max_size = 0;      ///< longer sides are reduced to it; 0: no limit
};

/// The photo as the network sees it: upright, resized by area averaging.
struct Photo {
  Image original;  ///< upright, in its own size
  Tensor pixels;   ///< H x W x C u8, resized, with the network's number of channels

  /// A place in `pixels` in the pixel grid that the file stores.
  std::array<double, 2> to_stored(double x, double y) const;
};
Photo as_photo(const Image& image, int64_t channels, const PhotoOptions& options);
Photo read_photo(const std::string& path, int64_t channels, const PhotoOptions& options);

/// Features at every pixel of H x W x C u8: H x W x outputs, where the network is. No tape is
/// built; on the CPU the network runs by a plan (nn/plan.h). Throws ErrorId::nan when they are not
/// finite, as those of damaged weights are.
Tensor extract_features(ResUNet& network, const Tensor& pixels);

/// A part of an image: a core that no other tile has, and the margin around it that is computed
/// too.
struct Tile {
  int64_t x, y, width, height;       ///< with its margin
  int64_t left, top, right, bottom;  ///< the core, in pixels of the image: [left, right) x ...
};
/// How far around a pixel the networks look, and more: farther pixels change a feature by less than
/// rounding does.
constexpr int64_t tile_margin = 96;
/// Tiles of one size, about side + 2 margins, whose cores cover the image and whose corners are at
/// multiples of 8, the networks' coarsest stride, so that features are the whole image's.
std::vector<Tile> tiles_of(int64_t height, int64_t width, int64_t side,
                           int64_t margin = tile_margin);

/// The same for many photos. On the CPU the plan is kept for the next photo of its size; on a GPU
/// the work for a size that comes again is recorded and then started by a single call.
class FeatureExtractor {
 public:
  /// `network` must outlive the extractor, and its parameters must not
  /// change: plans and records hold them.
  explicit FeatureExtractor(ResUNet& network) : network_(network) {}
  Tensor operator()(const Tensor& pixels);
  /// The features of a large photo part by part, so that memory is bounded: calls use(features,
  /// tile) for each of tiles_of(). A photo's statistics (image_statistics) are taken once, from a
  /// copy reduced to at most 400000 pixels.
  void in_tiles(const Tensor& pixels, int64_t side,
                const std::function<void(const Tensor& features, const Tile& tile)>& use);
  /// On the CPU, the plan of the last photo; null before the first.
  const nn::Plan* plan() const { return plan_ ? &*plan_ : nullptr; }
  /// From now on plans note what ran when (nn::Plan::events).
  void record_events(bool on) { recording_ = on; }

 private:
  Tensor run_plan(const Tensor& pixels);
  struct Recorded {
    Tensor pixels, features;
    std::unique_ptr<Graph> graph;  // null: the size was seen once
  };
  static constexpr size_t most_sizes = 2;  // upright and across; each keeps a network's memory
  ResUNet& network_;
  std::vector<Recorded> sizes_;  // the last used first
  std::optional<nn::Plan> plan_;
  Shape plan_shape_;
  bool recording_ = false;
};

}  // namespace cairn::ucn

// One photo on its way to matches: what the network sees, and how to get back to the file.
#pragma once

#include <array>
#include <string>

#include "data/image.h"
#include "ucn/resunet.h"

namespace cairn::ucn {

struct PhotoOptions {
  bool respect_exif = true;  ///< the network sees the upright photo
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
Photo read_photo(const std::string& path, int64_t channels, const PhotoOptions& options);

/// Features at every pixel of H x W x C u8: H x W x outputs. No tape is built. Throws ErrorId::nan
/// when they are not finite, as those of damaged weights are.
Tensor extract_features(ResUNet& network, const Tensor& pixels);

}  // namespace cairn::ucn

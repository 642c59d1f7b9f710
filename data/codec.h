// Between image.cpp and the two codecs.
#pragma once

#include "data/image.h"

namespace cairn::detail {

/// Pixels as stored in the file, and the EXIF orientation found there (1 when there is none).
struct Decoded {
  Tensor pixels;
  int orientation = 1;
};

Decoded decode_png(std::span<const uint8_t> bytes, const ReadOptions& options,
                   const std::string& name);
Decoded decode_jpeg(std::span<const uint8_t> bytes, const ReadOptions& options,
                    const std::string& name);

Decoded decode_pnm(std::span<const uint8_t> bytes, const ReadOptions& options,
                   const std::string& name);

/// The orientation in a TIFF block, as EXIF keeps it; 1 unless a valid one is found.
int exif_orientation(std::span<const uint8_t> tiff);

/// Throws ErrorId::format for an image without pixels or with more than the options accept.
void check_size(int64_t width, int64_t height, const ReadOptions& options, const std::string& name);

}  // namespace cairn::detail

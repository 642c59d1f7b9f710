// Images: read from PNG and JPEG files, written, made gray, resized.
//
// Pixel (0, 0) is the centre of the top-left pixel, x right, y down.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cairn {

struct Image {
  Tensor pixels;                                ///< H x W x C u8, C = 1 (gray) or 3 (RGB); upright
  int orientation = 1;                          ///< EXIF, 1..8: how the file's pixels were turned
  int64_t stored_width = 0, stored_height = 0;  ///< of the pixel grid in the file

  int64_t height() const { return pixels.dim(0); }
  int64_t width() const { return pixels.dim(1); }
  int64_t channels() const { return pixels.dim(2); }
  /// The place (x, y) of `pixels` in the pixel grid as the file stores it.
  std::array<double, 2> to_stored(double x, double y) const;
};

/// Pixels turned as an EXIF orientation (1..8) says; to_stored() leads back. 6, 3 and 8 turn by 90,
/// 180 and 270 degrees clockwise.
Image oriented(const Tensor& stored, int orientation);

struct ReadOptions {
  int channels = 0;                       ///< 1: gray, 3: RGB, 0: as in the file
  bool respect_exif = true;               ///< turn the pixels upright as the EXIF orientation says
  int64_t max_pixels = int64_t{1} << 28;  ///< more are refused from the header, before allocating
};

/// Reads a PNG (any kind; 16 bits are rounded to 8, alpha is dropped as OpenCV and PIL do) or a
/// JPEG (gray or colour; not CMYK), or a binary PGM or PPM. The type is told by the first bytes,
/// not by the name. Gray from a colour JPEG is its stored luma, as in OpenCV; from a colour PNG it
/// is to_gray. Throws ErrorId::io when the file cannot be read, ErrorId::format when its bytes are
/// not a whole image; both name the path.
Image read_image(const std::string& path, const ReadOptions& options = {});
/// The same from bytes; `name` stands for the path in errors.
Image read_image_from_memory(std::span<const uint8_t> bytes, const ReadOptions& options = {},
                             const std::string& name = "memory");

/// The bytes of a PNG or baseline JPEG file of `pixels`, H x W x C u8, C = 1 or 3.
/// `quality` is libjpeg's, 1..100.
std::vector<uint8_t> encode_png(const Tensor& pixels);
std::vector<uint8_t> encode_jpeg(const Tensor& pixels, int quality = 95);
/// Writes such a file, whole or not at all (AtomicFile). Throws ErrorId::io.
void write_png(const std::string& path, const Tensor& pixels);
void write_jpeg(const std::string& path, const Tensor& pixels, int quality = 95);

/// H x W x 3 u8 -> H x W x 1: Rec. 601 luma, (19595 R + 38470 G + 7471 B + 32768) >> 16, which is
/// PIL's convert("L"). Gray passes through.
Tensor to_gray(const Tensor& pixels);
/// H x W x 1 u8 -> H x W x 3. RGB passes through.
Tensor to_rgb(const Tensor& pixels);
/// Resizes H x W x C u8. An axis that shrinks is averaged exactly over each new pixel's area, one
/// that grows is interpolated linearly. Old x = (new x + 0.5) * old width / new width - 0.5.
Tensor resize_area(const Tensor& pixels, int64_t height, int64_t width);

/// Throws ErrorId::shape or ErrorId::dtype unless `pixels` is H x W x 1|3 u8 with H, W >= 1.
void require_image(std::string_view op, const Tensor& pixels);

}  // namespace cairn

// Files that write_png and write_jpeg never write, for the tests of the readers.
#pragma once

#include <png.h>

#include <cstdio>  // jpeglib.h needs it first

#include <jpeglib.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tensor/file.h"
#include "tensor/tensor.h"
#include "tests/errors.h"
#include "tests/folder.h"

namespace cairn::test {

using Bytes = std::vector<uint8_t>;

struct PngKind {
  int color = PNG_COLOR_TYPE_RGB, depth = 8, interlace = PNG_INTERLACE_NONE;
  std::vector<png_color> palette = {};
  Bytes exif = {};
};

/// `rows` are the file's own samples, each row padded to whole bytes.
inline Bytes make_png(uint32_t width, const std::vector<Bytes>& rows, const PngKind& kind = {}) {
  Bytes file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &file,
      [](png_structp p, png_bytep data, size_t size) {
        auto* out = static_cast<Bytes*>(png_get_io_ptr(p));
        out->insert(out->end(), data, data + size);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, width, uint32_t(rows.size()), kind.depth, kind.color, kind.interlace,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!kind.palette.empty()) png_set_PLTE(png, info, kind.palette.data(), int(kind.palette.size()));
  if (!kind.exif.empty())
    png_set_eXIf_1(png, info, uint32_t(kind.exif.size()), const_cast<png_bytep>(kind.exif.data()));
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  for (const Bytes& row : rows) pointers.push_back(const_cast<png_bytep>(row.data()));
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return file;
}

struct JpegKind {
  J_COLOR_SPACE space = JCS_RGB;
  bool progressive = false;
  Bytes exif = {};  ///< a TIFF block
};

/// `samples`: height x width x components of the space.
inline Bytes make_jpeg(uint32_t width, uint32_t height, const Bytes& samples,
                       const JpegKind& kind = {}) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_width = width;
  jpeg.image_height = height;
  jpeg.input_components = int(samples.size() / width / height);
  jpeg.in_color_space = kind.space;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 100, TRUE);
  if (kind.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  if (!kind.exif.empty()) {
    Bytes block = {'E', 'x', 'i', 'f', 0, 0};
    block.insert(block.end(), kind.exif.begin(), kind.exif.end());
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, block.data(), unsigned(block.size()));
  }
  while (jpeg.next_scanline < height) {
    auto* row = const_cast<JSAMPROW>(samples.data() + jpeg.next_scanline * samples.size() / height);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  Bytes file(bytes, bytes + size);
  std::free(bytes);
  return file;
}

/// A TIFF block whose only entry is the orientation, in either byte order.
inline Bytes make_exif(int orientation, bool little = true) {
  const auto v = uint8_t(orientation);
  if (little)
    return {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3,
            0,   1,   0,  0, 0, v, 0, 0, 0, 0, 0,    0,    0};
  return {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, v, 0, 0, 0, 0, 0, 0};
}

}  // namespace cairn::test

// JPEG through the libjpeg interface (libjpeg-turbo).
#include <cstdio>  // jpeglib.h needs it first

#include <jpeglib.h>

#include <jerror.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>

#include "data/codec.h"

namespace cairn {
namespace {

/// libjpeg reports errors by longjmp, which runs no destructor: a function that calls setjmp, and
/// everything below it, holds only trivial locals; what owns memory lives in Reader and Writer.
struct ErrorHandler {
  jpeg_error_mgr manager;  // first, so that a pointer to it is a pointer to this
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* handler = reinterpret_cast<ErrorHandler*>(info->err);
  info->err->format_message(info, handler->message);
  std::longjmp(handler->jump, 1);
}

/// libjpeg goes on after damage and makes up the pixels that are missing; here damage is an error.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      on_error(info);
    default:
      return;  // extraneous bytes, odd version numbers: the pixels are there
  }
}

void attach(ErrorHandler& handler, jpeg_error_mgr*& slot) {
  slot = jpeg_std_error(&handler.manager);
  handler.manager.error_exit = on_error;
  handler.manager.emit_message = on_message;
  handler.message[0] = 0;
}

/// A progressive file may ask for any number of passes over all pixels; no honest one needs many.
void on_progress(j_common_ptr info) {
  if (info->is_decompressor && reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > 500) {
    auto* handler = reinterpret_cast<ErrorHandler*>(info->err);
    std::strcpy(handler->message, "more than 500 scans");
    std::longjmp(handler->jump, 1);
  }
}

struct Reader {
  jpeg_decompress_struct jpeg{};
  ErrorHandler handler;
  jpeg_progress_mgr progress{};
  Tensor pixels;
  int orientation = 1;

  Reader() { attach(handler, jpeg.err); }
  ~Reader() { jpeg_destroy_decompress(&jpeg); }
};

bool read_header(Reader& r, std::span<const uint8_t> bytes, int channels) {
  if (setjmp(r.handler.jump)) return false;
  jpeg_create_decompress(&r.jpeg);
  r.progress.progress_monitor = on_progress;
  r.jpeg.progress = &r.progress;
  jpeg_mem_src(&r.jpeg, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&r.jpeg, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&r.jpeg, TRUE);
  for (auto* marker = r.jpeg.marker_list; marker; marker = marker->next) {
    constexpr char prefix[] = "Exif\0";  // and the terminator: six bytes
    if (marker->data_length < sizeof(prefix) || std::memcmp(marker->data, prefix, sizeof(prefix)))
      continue;
    r.orientation = detail::exif_orientation(
        {marker->data + sizeof(prefix), marker->data_length - sizeof(prefix)});
    break;
  }
  const bool gray = channels == 1 || (channels == 0 && r.jpeg.num_components == 1);
  r.jpeg.out_color_space = gray ? JCS_GRAYSCALE : JCS_RGB;
  return true;
}

bool read_pixels(Reader& r) {
  if (setjmp(r.handler.jump)) return false;
  jpeg_start_decompress(&r.jpeg);
  const size_t stride = size_t(r.jpeg.output_width) * size_t(r.jpeg.output_components);
  auto* pixels = static_cast<JSAMPLE*>(r.pixels.raw());
  while (r.jpeg.output_scanline < r.jpeg.output_height) {
    JSAMPROW row = pixels + r.jpeg.output_scanline * stride;
    jpeg_read_scanlines(&r.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&r.jpeg);
  return true;
}

struct Writer {
  jpeg_compress_struct jpeg{};
  ErrorHandler handler;
  unsigned char* bytes = nullptr;  // malloc'ed by libjpeg
  unsigned long size = 0;

  Writer() { attach(handler, jpeg.err); }
  ~Writer() {
    jpeg_destroy_compress(&jpeg);
    std::free(bytes);
  }
};

bool write_pixels(Writer& w, const JSAMPLE* pixels, JDIMENSION width, JDIMENSION height,
                  int channels, int quality) {
  if (setjmp(w.handler.jump)) return false;
  jpeg_create_compress(&w.jpeg);
  jpeg_mem_dest(&w.jpeg, &w.bytes, &w.size);
  w.jpeg.image_width = width;
  w.jpeg.image_height = height;
  w.jpeg.input_components = channels;
  w.jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&w.jpeg);
  jpeg_set_quality(&w.jpeg, quality, TRUE);
  jpeg_start_compress(&w.jpeg, TRUE);
  while (w.jpeg.next_scanline < height) {
    auto row =
        const_cast<JSAMPROW>(pixels + size_t(w.jpeg.next_scanline) * width * size_t(channels));
    jpeg_write_scanlines(&w.jpeg, &row, 1);
  }
  jpeg_finish_compress(&w.jpeg);
  return true;
}

}  // namespace

detail::Decoded detail::decode_jpeg(std::span<const uint8_t> bytes, const ReadOptions& options,
                                    const std::string& name) {
  const auto fail = [&](const char* text) {
    throw Error(ErrorId::format, "read_image", cat("'", name, "' is a damaged JPEG: ", text));
  };
  Reader r;
  if (!read_header(r, bytes, options.channels)) fail(r.handler.message);
  check_size(r.jpeg.image_width, r.jpeg.image_height, options, name);
  const auto space = r.jpeg.jpeg_color_space;
  if (space == JCS_CMYK || space == JCS_YCCK)
    throw Error(ErrorId::format, "read_image", cat("'", name, "' is a CMYK JPEG"),
                "convert it to RGB first; how its inks look is not said in the file");
  require(space == JCS_GRAYSCALE || space == JCS_YCbCr || space == JCS_RGB, ErrorId::format,
          "read_image", "'", name, "' is a JPEG with ", r.jpeg.num_components,
          " channels of no known meaning");

  r.pixels = Tensor::empty(
      {r.jpeg.image_height, r.jpeg.image_width, r.jpeg.out_color_space == JCS_GRAYSCALE ? 1 : 3},
      DType::u8);
  if (!read_pixels(r)) fail(r.handler.message);
  return {std::move(r.pixels), r.orientation};
}

std::vector<uint8_t> encode_jpeg(const Tensor& pixels, int quality) {
  require_image("write_jpeg", pixels);
  require(pixels.dim(0) <= JPEG_MAX_DIMENSION && pixels.dim(1) <= JPEG_MAX_DIMENSION,
          ErrorId::shape, "write_jpeg", "JPEG cannot hold ", pixels.shape());
  require(quality >= 1 && quality <= 100, ErrorId::argument, "write_jpeg", "quality is ", quality,
          ", not in 1..100");
  Writer w;
  if (!write_pixels(w, pixels.data<uint8_t>(), JDIMENSION(pixels.dim(1)), JDIMENSION(pixels.dim(0)),
                    int(pixels.dim(2)), quality))
    throw Error(ErrorId::format, "write_jpeg", w.handler.message);
  return {w.bytes, w.bytes + w.size};
}

}  // namespace cairn

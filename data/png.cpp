// PNG through libpng.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "data/codec.h"

namespace cairn {
namespace {

constexpr char cut_short[] = "the file is cut short";

/// What libpng and its callbacks need. libpng reports errors by longjmp, which runs no destructor:
/// so a function that calls setjmp, and everything below it, holds only trivial locals, and all
/// that owns memory lives here.
struct Reader {
  std::span<const uint8_t> bytes;
  size_t position = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;
  png_uint_32 width = 0, height = 0;
  size_t stored_row_bytes = 0, row_bytes = 0;  // in the file (uncompressed), and as handed out
  int channels = 0, orientation = 1;
  Tensor pixels;
  std::vector<png_bytep> rows;
  char message[128] = "";

  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* message = static_cast<char*>(png_get_error_ptr(png));
  std::strncpy(message, text, sizeof(Reader::message) - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, size_t size) {
  auto& r = *static_cast<Reader*>(png_get_io_ptr(png));
  if (size > r.bytes.size() - r.position) png_error(png, cut_short);
  std::memcpy(to, r.bytes.data() + r.position, size);
  r.position += size;
}

bool read_header(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_user_limits(r.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_read_fn(r.png, &r, on_read);
  png_read_info(r.png, r.info);
  r.width = png_get_image_width(r.png, r.info);
  r.height = png_get_image_height(r.png, r.info);
  r.stored_row_bytes = png_get_rowbytes(r.png, r.info);
  return true;
}

/// Takes memory for a row or two, so only after the size is known to be sane.
bool begin_rows(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_expand(r.png);  // palettes to RGB, few bits to 8
  png_set_scale_16(r.png);
  png_set_strip_alpha(r.png);
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  r.channels = png_get_channels(r.png, r.info);
  r.row_bytes = png_get_rowbytes(r.png, r.info);
  return true;
}

bool read_pixels(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_read_image(r.png, r.rows.data());
  png_read_end(r.png, r.info);
#ifdef PNG_eXIf_SUPPORTED
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  if (png_get_eXIf_1(r.png, r.info, &size, &exif))
    r.orientation = detail::exif_orientation({exif, size});
#endif
  return true;
}

/// Walks the chunks (length, type, data, CRC) up to IEND: true when all of them lie inside the
/// file. libpng takes memory for some chunks as their length asks, before it looks for their data.
bool is_whole(std::span<const uint8_t> bytes) {
  for (size_t at = 8; bytes.size() - at >= 12;) {
    const uint8_t* chunk = bytes.data() + at;
    const size_t length = png_get_uint_32(chunk);
    if (length > bytes.size() - at - 12) return false;
    if (std::memcmp(chunk + 4, "IEND", 4) == 0) return true;
    at += 12 + length;
  }
  return false;
}

struct Writer {
  std::vector<uint8_t> bytes;
  bool out_of_memory = false;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::vector<png_const_bytep> rows;
  char message[sizeof(Reader::message)] = "";

  ~Writer() { png_destroy_write_struct(&png, &info); }
};

void on_write(png_structp png, png_bytep from, size_t size) {
  auto& w = *static_cast<Writer*>(png_get_io_ptr(png));
  try {  // no exception may cross libpng
    w.bytes.insert(w.bytes.end(), from, from + size);
  } catch (const std::bad_alloc&) {
    w.out_of_memory = true;
  }
  if (w.out_of_memory) png_error(png, "out of memory");
}

void on_flush(png_structp) {}

bool write_pixels(Writer& w, png_uint_32 width, png_uint_32 height, int color) {
  if (setjmp(png_jmpbuf(w.png))) return false;
  png_set_user_limits(w.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_write_fn(w.png, &w, on_write, on_flush);
  // A third of the time of libpng's defaults, and no larger on photos with drawings.
  png_set_filter(w.png, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
  png_set_compression_level(w.png, 2);
  png_set_IHDR(w.png, w.info, width, height, 8, color, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(w.png, w.info);
  png_write_image(w.png, const_cast<png_bytepp>(w.rows.data()));
  png_write_end(w.png, w.info);
  return true;
}

}  // namespace

detail::Decoded detail::decode_png(std::span<const uint8_t> bytes, const ReadOptions& options,
                                   const std::string& name) {
  const auto fail = [&](const auto&... text) {
    throw Error(ErrorId::format, "read_image", cat("'", name, "' is a damaged PNG: ", text...));
  };
  if (!is_whole(bytes)) fail(cut_short);
  Reader r;
  r.bytes = bytes;
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r.message, on_error, on_warning);
  if (r.png) r.info = png_create_info_struct(r.png);
  require(r.info != nullptr, ErrorId::memory, "read_image", "libpng cannot start");

  if (!read_header(r)) fail(r.message);
  check_size(r.width, r.height, options, name);
  // Deflate shrinks at most 1032 : 1, so a small file that claims much is a lie or a bomb.
  if (r.stored_row_bytes > 1032 * bytes.size() / r.height)
    fail("it claims ", r.width, " x ", r.height, " pixels, but has only ", bytes.size(), " bytes");
  if (!begin_rows(r)) fail(r.message);
  require(
      (r.channels == 1 || r.channels == 3) && r.row_bytes == size_t(r.width) * size_t(r.channels),
      ErrorId::format, "read_image", "'", name, "' is an unknown kind of PNG");

  r.pixels = Tensor::empty({r.height, r.width, r.channels}, DType::u8);
  for (png_uint_32 y = 0; y < r.height; ++y)
    r.rows.push_back(r.pixels.data<uint8_t>() + size_t(y) * r.row_bytes);
  if (!read_pixels(r)) fail(r.message);
  return {std::move(r.pixels), r.orientation};
}

std::vector<uint8_t> encode_png(const Tensor& pixels) {
  require_image("write_png", pixels);
  require(pixels.dim(0) <= int64_t{PNG_UINT_31_MAX} && pixels.dim(1) <= int64_t{PNG_UINT_31_MAX},
          ErrorId::shape, "write_png", "PNG cannot hold ", pixels.shape());
  Writer w;
  w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w.message, on_error, on_warning);
  if (w.png) w.info = png_create_info_struct(w.png);
  require(w.info != nullptr, ErrorId::memory, "write_png", "libpng cannot start");
  for (int64_t y = 0; y < pixels.dim(0); ++y)
    w.rows.push_back(pixels.data<uint8_t>() + y * pixels.dim(1) * pixels.dim(2));
  if (!write_pixels(w, png_uint_32(pixels.dim(1)), png_uint_32(pixels.dim(0)),
                    pixels.dim(2) == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB))
    throw Error(w.out_of_memory ? ErrorId::memory : ErrorId::format, "write_png", w.message);
  return std::move(w.bytes);
}

}  // namespace cairn

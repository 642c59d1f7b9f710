#include "data/image.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/codec.h"
#include "tensor/file.h"
#include "tensor/parallel.h"

namespace cairn {
namespace {

bool transposed(int orientation) { return orientation >= 5; }

/// New pixels with the orientation undone.
Tensor upright(const Image& stored) {
  const int64_t h = stored.stored_height, w = stored.stored_width, c = stored.channels();
  const bool turned = transposed(stored.orientation);
  const int64_t new_h = turned ? w : h, new_w = turned ? h : w;
  // Where the first pixel comes from, and the strides in the file of a step in x and in y.
  const auto at = [&](double x, double y) {
    const auto p = stored.to_stored(x, y);
    return (int64_t(p[1]) * w + int64_t(p[0])) * c;
  };
  const int64_t origin = at(0, 0), step_x = at(1, 0) - origin, step_y = at(0, 1) - origin;
  Tensor result = Tensor::empty({new_h, new_w, c}, DType::u8);
  const uint8_t* from = stored.pixels.data<uint8_t>();
  uint8_t* to = result.data<uint8_t>();
  for (int64_t y = 0; y < new_h; ++y)
    for (int64_t x = 0; x < new_w; ++x, to += c)
      std::memcpy(to, from + origin + y * step_y + x * step_x, size_t(c));
  return result;
}

/// How one axis of `from` pixels becomes `to` pixels: output i is the sum of weight[i][j] times
/// input first[i] + j.
struct Axis {
  std::vector<int64_t> first;
  std::vector<std::vector<float>> weight;

  Axis(int64_t from, int64_t to) : first(size_t(to)), weight(size_t(to)) {
    const double scale = double(from) / double(to);
    for (int64_t i = 0; i < to; ++i) {
      auto& w = weight[size_t(i)];
      if (to < from) {
        const double begin = double(i) * scale, end = double(i + 1) * scale;
        const int64_t a = int64_t(begin), b = std::min(int64_t(std::ceil(end)), from);
        first[size_t(i)] = a;
        for (int64_t j = a; j < b; ++j)
          w.push_back(float((std::min(end, double(j + 1)) - std::max(begin, double(j))) / scale));
      } else {
        const double x = std::clamp((double(i) + 0.5) * scale - 0.5, 0.0, double(from - 1));
        const int64_t a = std::min(int64_t(x), std::max<int64_t>(from - 2, 0));
        first[size_t(i)] = a;
        w = {float(1 - (x - double(a)))};
        if (from > 1) w.push_back(float(x - double(a)));
      }
    }
  }
};

}  // namespace

std::array<double, 2> Image::to_stored(double x, double y) const {
  const double right = double(stored_width - 1), bottom = double(stored_height - 1);
  switch (orientation) {
    case 2:
      return {right - x, y};
    case 3:
      return {right - x, bottom - y};
    case 4:
      return {x, bottom - y};
    case 5:
      return {y, x};
    case 6:
      return {y, bottom - x};
    case 7:
      return {right - y, bottom - x};
    case 8:
      return {right - y, x};
    default:
      return {x, y};
  }
}

Image oriented(const Tensor& stored, int orientation) {
  Image image{stored, orientation, stored.dim(1), stored.dim(0)};
  if (orientation != 1) image.pixels = upright(image);
  return image;
}

Image read_image_from_memory(std::span<const uint8_t> bytes, const ReadOptions& options,
                             const std::string& name) {
  require(options.channels == 0 || options.channels == 1 || options.channels == 3,
          ErrorId::argument, "read_image", "channels is ", options.channels, ", not 0, 1 or 3");
  require(!bytes.empty(), ErrorId::format, "read_image", "'", name, "' is empty");
  struct Format {
    std::string_view magic;
    detail::Decoded (*decode)(std::span<const uint8_t>, const ReadOptions&, const std::string&);
  };
  static const Format formats[] = {{"\x89PNG\r\n\x1a\n", detail::decode_png},
                                   {"\xff\xd8\xff", detail::decode_jpeg},
                                   {"P5", detail::decode_pnm},
                                   {"P6", detail::decode_pnm}};
  const std::string_view begin(reinterpret_cast<const char*>(bytes.data()),
                               std::min<size_t>(bytes.size(), 8));
  const auto format =
      std::ranges::find_if(formats, [&](const Format& f) { return begin.starts_with(f.magic); });
  require(format != std::end(formats), ErrorId::format, "read_image", "'", name,
          "' is none of a PNG, a JPEG, and a PGM or PPM file");
  const auto decoded = format->decode(bytes, options, name);
  Tensor pixels = decoded.pixels;
  if (options.channels == 1) pixels = to_gray(pixels);
  if (options.channels == 3) pixels = to_rgb(pixels);
  return oriented(pixels, options.respect_exif ? decoded.orientation : 1);
}

Image read_image(const std::string& path, const ReadOptions& options) {
  constexpr int64_t max_bytes = int64_t{1} << 31;
  return read_image_from_memory(read_file(path, max_bytes, "read_image"), options, path);
}

void write_png(const std::string& path, const Tensor& pixels) {
  write_file_atomically(path, encode_png(pixels), "write_png");
}

void write_jpeg(const std::string& path, const Tensor& pixels, int quality) {
  write_file_atomically(path, encode_jpeg(pixels, quality), "write_jpeg");
}

void require_image(std::string_view op, const Tensor& pixels) {
  require(pixels.defined() && pixels.dtype() == DType::u8, ErrorId::dtype, op,
          "expects an image of u8, not of ", name(pixels.dtype()));
  require(pixels.rank() == 3 && pixels.numel() > 0 && (pixels.dim(2) == 1 || pixels.dim(2) == 3),
          ErrorId::shape, op, "expects an image H x W x 1 or H x W x 3, not ", pixels.shape());
}

Tensor to_gray(const Tensor& pixels) {
  require_image("to_gray", pixels);
  if (pixels.dim(2) == 1) return pixels;
  Tensor gray = Tensor::empty({pixels.dim(0), pixels.dim(1), 1}, DType::u8);
  const uint8_t* rgb = pixels.data<uint8_t>();
  for (uint8_t& luma : gray.span<uint8_t>()) {
    luma = uint8_t((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
    rgb += 3;
  }
  return gray;
}

Tensor to_rgb(const Tensor& pixels) {
  require_image("to_rgb", pixels);
  if (pixels.dim(2) == 3) return pixels;
  Tensor rgb = Tensor::empty({pixels.dim(0), pixels.dim(1), 3}, DType::u8);
  uint8_t* to = rgb.data<uint8_t>();
  for (const uint8_t luma : pixels.span<uint8_t>()) {
    to[0] = to[1] = to[2] = luma;
    to += 3;
  }
  return rgb;
}

Tensor resize_area(const Tensor& pixels, int64_t height, int64_t width) {
  require_image("resize_area", pixels);
  require(height >= 1 && width >= 1, ErrorId::argument, "resize_area", "cannot resize to height ",
          height, ", width ", width);
  const int64_t old_width = pixels.dim(1), c = pixels.dim(2), row_size = old_width * c;
  if (height == pixels.dim(0) && width == old_width) return pixels;
  const Axis down(pixels.dim(0), height), across(old_width, width);
  Tensor result = Tensor::empty({height, width, c}, DType::u8);
  const uint8_t* from = pixels.data<uint8_t>();
  uint8_t* to = result.data<uint8_t>();

  parallel_for(height, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(row_size));
    for (int64_t y = begin; y < end; ++y) {
      std::fill(row.begin(), row.end(), 0.f);
      const uint8_t* in = from + down.first[size_t(y)] * row_size;
      for (const float w : down.weight[size_t(y)]) {
        for (int64_t i = 0; i < row_size; ++i) row[size_t(i)] += w * float(in[i]);
        in += row_size;
      }
      for (int64_t x = 0; x < width; ++x)
        for (int64_t k = 0; k < c; ++k) {
          const float* value = row.data() + across.first[size_t(x)] * c + k;
          float sum = 0;
          for (const float w : across.weight[size_t(x)]) {
            sum += w * *value;
            value += c;
          }
          // Half up, with room for the weights' rounding, so that exact halves are not random.
          to[(y * width + x) * c + k] = uint8_t(std::clamp(sum + 0.5001f, 0.f, 255.f));
        }
    }
  });
  return result;
}

namespace detail {

void check_size(int64_t width, int64_t height, const ReadOptions& options,
                const std::string& name) {
  require(width > 0 && height > 0, ErrorId::format, "read_image", "'", name, "' has no pixels (",
          width, " x ", height, ")");
  require(width <= options.max_pixels / height, ErrorId::format, "read_image", "'", name,
          "' claims ", width, " x ", height, " pixels, more than the ", options.max_pixels,
          " that are accepted");
}

int exif_orientation(std::span<const uint8_t> tiff) {
  if (tiff.size() < 8) return 1;
  const bool little = tiff[0] == 'I' && tiff[1] == 'I';
  if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 1;
  const auto number = [&](size_t at, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | tiff[at + (little ? bytes - 1 - i : i)];
    return value;
  };
  const size_t directory = number(4, 4);
  if (number(2, 2) != 42 || directory > tiff.size() - 2) return 1;
  const size_t entries = number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;  // tag, type, count, value or its offset
    if (entry + 12 > tiff.size()) return 1;
    if (number(entry, 2) != 0x0112) continue;
    const uint32_t type = number(entry + 2, 2);
    if (number(entry + 4, 4) != 1 || (type != 3 && type != 4)) return 1;  // SHORT or LONG
    const uint32_t value = number(entry + 8, type == 3 ? 2 : 4);
    return value >= 1 && value <= 8 ? int(value) : 1;
  }
  return 1;
}

}  // namespace detail
}  // namespace cairn

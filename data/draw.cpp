#include "data/draw.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/image.h"

namespace cairn {
namespace {

void require_rgb(std::string_view op, const Tensor& image) {
  require_image(op, image);
  require(image.dim(2) == 3, ErrorId::shape, op, "draws on H x W x 3, not on ", image.shape());
}

void blend_(Tensor& image, int64_t x, int64_t y, double coverage, Color color) {
  if (!(coverage > 0)) return;
  uint8_t* pixel = image.data<uint8_t>() + (y * image.dim(1) + x) * 3;
  coverage = std::min(coverage, 1.0);
  for (size_t c = 0; c < 3; ++c)
    pixel[c] = uint8_t(std::lround(std::lerp(double(pixel[c]), double(color[c]), coverage)));
}

/// The whole numbers in [low, high] that lie in [0, n): half open.
struct Range {
  int64_t begin, end;
  Range(double low, double high, int64_t n)
      : begin(int64_t(std::clamp(std::ceil(low), 0.0, double(n)))),
        end(int64_t(std::clamp(std::floor(high) + 1, 0.0, double(n)))) {}
};

}  // namespace

void draw_disc_(Tensor& image, double x, double y, double radius, Color color) {
  require_rgb("draw_disc", image);
  if (!std::isfinite(x) || !std::isfinite(y) || !std::isfinite(radius) || radius <= 0) return;
  const double reach = radius + 0.5;
  const Range rows(y - reach, y + reach, image.dim(0)), columns(x - reach, x + reach, image.dim(1));
  for (int64_t i = rows.begin; i < rows.end; ++i)
    for (int64_t j = columns.begin; j < columns.end; ++j)
      blend_(image, j, i, reach - std::hypot(double(j) - x, double(i) - y), color);
}

void draw_line_(Tensor& image, double x0, double y0, double x1, double y1, double width,
                Color color) {
  require_rgb("draw_line", image);
  const double dx = x1 - x0, dy = y1 - y0, length = std::hypot(dx, dy), reach = width / 2 + 0.5;
  if (!std::isfinite(length) || !(length > 0) || !(width > 0)) return;
  // Runs along the longer axis, and across the few pixels that the line covers there.
  const bool steep = std::fabs(dy) > std::fabs(dx);
  const double a0 = steep ? y0 : x0, b0 = steep ? x0 : y0;
  const double da = steep ? dy : dx, db = steep ? dx : dy;
  const double across = reach * length / std::fabs(da);
  const Range along(std::min(a0, a0 + da) - reach, std::max(a0, a0 + da) + reach,
                    image.dim(steep ? 0 : 1));
  for (int64_t a = along.begin; a < along.end; ++a) {
    const double b = b0 + (double(a) - a0) * db / da;
    const Range span(b - across, b + across, image.dim(steep ? 1 : 0));
    for (int64_t c = span.begin; c < span.end; ++c) {
      const double u = double(a) - a0, v = double(c) - b0;
      const double lengthwise = (u * da + v * db) / length;
      const double distance = std::fabs(v * da - u * db) / length;
      const double ends = std::min(lengthwise, length - lengthwise) + 0.5;
      blend_(image, steep ? c : a, steep ? a : c,
             std::min(1.0, reach - distance) * std::min(1.0, ends), color);
    }
  }
}

Tensor side_by_side(const Tensor& left, const Tensor& right, int64_t gap) {
  const Tensor l = to_rgb(left), r = to_rgb(right);
  require(gap >= 0, ErrorId::argument, "side_by_side", "the gap is ", gap);
  const int64_t width = l.dim(1) + gap + r.dim(1);
  Tensor result = Tensor::zeros({std::max(l.dim(0), r.dim(0)), width, 3}, DType::u8);
  const auto place = [&](const Tensor& image, int64_t column) {
    const int64_t row_bytes = image.dim(1) * 3;
    for (int64_t y = 0; y < image.dim(0); ++y)
      std::memcpy(result.data<uint8_t>() + (y * width + column) * 3,
                  image.data<uint8_t>() + y * row_bytes, size_t(row_bytes));
  };
  place(l, 0);
  place(r, l.dim(1) + gap);
  return result;
}

Tensor darken(const Tensor& image, double factor) {
  require_image("darken", image);
  require(factor >= 0 && factor <= 1, ErrorId::argument, "darken", "the factor is ", factor,
          ", not in 0..1");
  Tensor result = Tensor::empty(image.shape(), DType::u8);
  std::transform(image.span<uint8_t>().begin(), image.span<uint8_t>().end(), result.data<uint8_t>(),
                 [&](uint8_t v) { return uint8_t(std::lround(v * factor)); });
  return result;
}

Color position_color(double x, double y, double width, double height) {
  // Light to dark blue on the left, yellow to vermilion on the right: apart for every kind of
  // colour vision (after M. Okabe and K. Ito, "Color universal design", 2008).
  constexpr Color corners[2][2] = {{{86, 180, 233}, {240, 228, 66}}, {{0, 90, 200}, {213, 94, 0}}};
  const auto share = [](double v, double extent) {
    return std::isfinite(v / extent) ? std::clamp(v / extent, 0.0, 1.0) : 0.5;
  };
  const double u = share(x, width), v = share(y, height);
  Color color{};
  for (size_t c = 0; c < 3; ++c)
    color[c] = uint8_t(std::lround(std::lerp(std::lerp(corners[0][0][c], corners[0][1][c], u),
                                             std::lerp(corners[1][0][c], corners[1][1][c], u), v)));
  return color;
}

}  // namespace cairn

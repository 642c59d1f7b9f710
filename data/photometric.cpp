#include "data/photometric.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "data/image.h"

namespace cairn {
namespace {

/// Every pixel times a smooth field: exp of random values on a coarse grid, joined smoothly.
void shade_(Tensor& picture, double strength, Random& random) {
  const int64_t h = picture.dim(0), w = picture.dim(1), c = picture.dim(2);
  const int64_t cells = 1 + random.below(3);
  std::vector<double> knots(size_t((cells + 1) * (cells + 1)));
  for (double& k : knots) k = random.uniform(-strength, strength);

  struct Place {
    size_t cell;
    double part;  // smoothstep: no creases at the knots
  };
  const auto place = [&](int64_t i, int64_t n) {
    const double at = (double(i) + 0.5) / double(n) * double(cells);
    const int64_t cell = std::min(int64_t(at), cells - 1);
    const double t = at - double(cell);
    return Place{size_t(cell), t * t * (3 - 2 * t)};
  };
  std::vector<Place> across;
  for (int64_t x = 0; x < w; ++x) across.push_back(place(x, w));
  float* v = picture.data<float>();
  for (int64_t y = 0; y < h; ++y) {
    const auto [row, down] = place(y, h);
    for (const auto& [column, right] : across) {
      const double* k = knots.data() + row * size_t(cells + 1) + column;
      const double top = std::lerp(k[0], k[1], right);
      const double bottom = std::lerp(k[cells + 1], k[cells + 2], right);
      const float gain = float(std::exp(std::lerp(top, bottom, down)));
      for (int64_t i = 0; i < c; ++i) *v++ *= gain;
    }
  }
}

void gamma_(Tensor& picture, double exponent) {
  // The pictures come from bytes: a table with steps between them is as good as the power itself.
  constexpr int steps = 1024;
  std::vector<float> table(steps + 2);
  for (int i = 0; i < steps + 2; ++i)
    table[size_t(i)] = float(255 * std::pow(i / double(steps), exponent));
  for (float& v : picture.span<float>()) {
    const float at = std::clamp(v, 0.f, 255.f) * (steps / 255.f);
    const size_t i = size_t(at);
    v = table[i] + (at - float(i)) * (table[i + 1] - table[i]);
  }
}

void contrast_(Tensor& picture, double factor) {
  double mean = 0;
  for (const float v : picture.span<float>()) mean += v;
  mean /= double(picture.numel());
  for (float& v : picture.span<float>()) v = float(mean + (v - mean) * factor);
}

/// The mean along a straight path centred on each pixel, so that nothing moves on average.
Tensor motion_blur(const Tensor& picture, double length, double angle) {
  const int64_t h = picture.dim(0), w = picture.dim(1), c = picture.dim(2);
  const int taps = std::max(2, int(std::ceil(length)) + 1);
  Tensor result = Tensor::zeros(picture.shape());
  const float* from = picture.data<float>();
  const float share = 1.f / float(taps);
  for (int t = 0; t < taps; ++t) {
    const double along = length * (t / double(taps - 1) - 0.5);
    const double dx = along * std::cos(angle), dy = along * std::sin(angle);
    const int64_t x0 = int64_t(std::floor(dx)), y0 = int64_t(std::floor(dy));
    const float u = float(dx - double(x0)), v = float(dy - double(y0));
    const float weight[4] = {(1 - u) * (1 - v) * share, u * (1 - v) * share, (1 - u) * v * share,
                             u * v * share};
    float* to = result.data<float>();
    for (int64_t y = 0; y < h; ++y) {
      const int64_t top = std::clamp<int64_t>(y + y0, 0, h - 1) * w;
      const int64_t bottom = std::clamp<int64_t>(y + y0 + 1, 0, h - 1) * w;
      for (int64_t x = 0; x < w; ++x) {
        const int64_t left = std::clamp<int64_t>(x + x0, 0, w - 1);
        const int64_t right = std::clamp<int64_t>(x + x0 + 1, 0, w - 1);
        for (int64_t k = 0; k < c; ++k)
          *to++ += weight[0] * from[(top + left) * c + k] +
                   weight[1] * from[(top + right) * c + k] +
                   weight[2] * from[(bottom + left) * c + k] +
                   weight[3] * from[(bottom + right) * c + k];
      }
    }
  }
  return result;
}

void clamp_(Tensor& picture) {
  for (float& v : picture.span<float>()) v = std::clamp(v, 0.f, 255.f);
}

/// Replaces each line of `count` values, `stride` apart, by its convolution with a symmetric
/// kernel.
void blur_line(const float* from, float* to, int64_t count, int64_t stride,
               const std::vector<float>& kernel, std::vector<float>& line) {
  const int64_t radius = int64_t(kernel.size()) - 1;
  line.resize(size_t(count + 2 * radius));
  for (int64_t i = -radius; i < count + radius; ++i)
    line[size_t(i + radius)] = from[std::clamp<int64_t>(i, 0, count - 1) * stride];
  for (int64_t i = 0; i < count; ++i) {
    const float* centre = line.data() + i + radius;
    float sum = kernel[0] * centre[0];
    for (int64_t r = 1; r <= radius; ++r) sum += kernel[size_t(r)] * (centre[-r] + centre[r]);
    to[i * stride] = sum;
  }
}

}  // namespace

Photometric Photometric::none() {
  Photometric p;
  p.shade = p.gamma = p.contrast = p.brightness = 0;
  p.blur = p.motion_blur = p.noise = p.jpeg = 0;
  return p;
}

Tensor gaussian_blur(const Tensor& picture, double sigma) {
  require(picture.rank() == 3, ErrorId::shape, "gaussian_blur", "expects H x W x C, not ",
          picture.shape());
  require(sigma >= 0 && sigma < 1000, ErrorId::argument, "gaussian_blur", "sigma is ", sigma);
  const int64_t h = picture.dim(0), w = picture.dim(1), c = picture.dim(2);
  std::vector<float> kernel;
  double total = -1;
  for (int r = 0; r <= int(std::ceil(3 * sigma)); ++r) {
    kernel.push_back(r == 0 ? 1.f : float(std::exp(-r * r / (2 * sigma * sigma))));
    total += 2 * double(kernel.back());
  }
  for (float& k : kernel) k = float(k / total);
  Tensor result = Tensor::empty(picture.shape());
  const float* from = picture.data<float>();
  float* to = result.data<float>();
  std::vector<float> line;
  for (int64_t y = 0; y < h; ++y)
    for (int64_t k = 0; k < c; ++k)
      blur_line(from + y * w * c + k, to + y * w * c + k, w, c, kernel, line);
  for (int64_t i = 0; i < w * c; ++i) blur_line(to + i, to + i, h, w * c, kernel, line);
  return result;
}

Photometric Photometric::of_strength(double strength) {
  Photometric p;
  for (double* factor : {&p.gamma_limit, &p.contrast_limit}) *factor = std::pow(*factor, strength);
  for (double* limit :
       {&p.shade_limit, &p.brightness_limit, &p.blur_limit, &p.motion_blur_limit, &p.noise_limit})
    *limit *= strength;
  p.jpeg_quality = std::max(5.0, 95 - (95 - p.jpeg_quality) * strength);
  return p;
}

Tensor change_appearance(const Tensor& picture, const Photometric& o, Random& random) {
  require(picture.rank() == 3, ErrorId::shape, "change_appearance", "expects H x W x C, not ",
          picture.shape());
  const auto ratio = [&](double limit) {
    return std::exp(random.uniform(-1, 1) * std::log(limit));
  };
  Tensor p = picture.clone();
  if (random.chance(o.shade)) shade_(p, o.shade_limit, random);
  if (random.chance(o.gamma)) gamma_(p, ratio(o.gamma_limit));
  if (random.chance(o.contrast)) contrast_(p, ratio(o.contrast_limit));
  if (random.chance(o.brightness)) {
    const float add = float(random.uniform(-o.brightness_limit, o.brightness_limit));
    for (float& v : p.span<float>()) v += add;
  }
  clamp_(p);  // as a sensor does, before the noise
  if (random.chance(o.blur)) p = gaussian_blur(p, random.uniform(0.3, o.blur_limit));
  if (random.chance(o.motion_blur)) {
    const double length = random.uniform(1, o.motion_blur_limit);
    p = motion_blur(p, length, random.uniform(0, std::numbers::pi));
  }
  if (random.chance(o.noise)) {
    const double sigma = random.uniform(0, o.noise_limit);
    for (float& v : p.span<float>()) v += float(sigma * random.normal());
  }
  clamp_(p);
  if (random.chance(o.jpeg)) {
    const int quality = int(random.uniform(o.jpeg_quality, 96));
    for (float& v : p.span<float>()) v += 0.5f;  // to() cuts off
    const auto bytes = encode_jpeg(p.to(DType::u8), quality);
    ReadOptions options;
    options.channels = int(p.dim(2));
    p = read_image_from_memory(bytes, options).pixels.to(DType::f32);
  }
  return p;
}

}  // namespace cairn

// Small photos for the tests of the trainer and of the programs.
#pragma once

#include <cmath>
#include <string>

#include "data/image.h"
#include "tensor/random.h"

namespace cairn::test {

/// height x width x 1 u8: a few waves and some grain, different for each seed; rich in corners.
inline Tensor some_photo(int64_t height, int64_t width, uint64_t seed) {
  Random random(seed);
  double wave[6][3];
  for (auto& w : wave)
    for (double& v : w) v = random.uniform(-0.6, 0.6);
  Tensor photo = Tensor::empty({height, width, 1}, DType::u8);
  for (int64_t i = 0; i < photo.numel(); ++i) {
    double v = 128 + random.uniform(-8, 8);
    for (const auto& [a, b, c] : wave)
      v += 25 * std::sin(a * double(i % width) + b * double(i / width) + 9 * c);
    photo.data<uint8_t>()[i] = uint8_t(std::clamp(v, 0.0, 255.0));
  }
  return photo;
}

/// photo-0.png, photo-1.png, ... in a folder.
inline void write_photos(const std::string& folder, int count) {
  for (int i = 0; i < count; ++i)
    write_png(folder + "/photo-" + std::to_string(i) + ".png", some_photo(72, 80, uint64_t(i)));
}

}  // namespace cairn::test

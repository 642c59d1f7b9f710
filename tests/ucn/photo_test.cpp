#include "ucn/photo.h"

#include <doctest/doctest.h>

#include "tests/compare.h"
#include "tests/data/sample_files.h"
#include "tests/ucn/some_photos.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {

/// A black gray JPEG of 48 x 32 stored pixels with one bright block of 8 x 8 around (20, 12).
std::string jpeg_with_spot(const Folder& folder, int orientation) {
  Bytes samples(48 * 32, 0);
  for (size_t y = 8; y < 16; ++y)
    for (size_t x = 16; x < 24; ++x) samples[y * 48 + x] = 255;
  const std::string path = folder / "spot.jpg";
  write_file_atomically(
      path, make_jpeg(48, 32, samples, {.space = JCS_GRAYSCALE, .exif = make_exif(orientation)}));
  return path;
}

/// The centre of what is bright.
std::array<double, 2> centre(const Tensor& pixels) {
  double sum = 0, x = 0, y = 0;
  for (int64_t i = 0; i < pixels.numel(); ++i) {
    const double v = pixels.data<uint8_t>()[i];
    sum += v;
    x += v * double(i % pixels.dim(1));
    y += v * double(i / pixels.dim(1));
  }
  return {x / sum, y / sum};
}

}  // namespace

TEST_CASE("what is seen in a photo is found in the file's stored pixels, turned and resized") {
  const Folder folder;
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const double scale : {1.0, 0.5, 2.0, 0.77}) {
      CAPTURE(orientation);
      CAPTURE(scale);
      const Photo p = read_photo(jpeg_with_spot(folder, orientation), 1, {.scale = scale});
      CHECK((p.pixels.dim(0) > p.pixels.dim(1)) == (orientation >= 5));
      const auto [x, y] = centre(p.pixels);
      const auto [stored_x, stored_y] = p.to_stored(x, y);
      CHECK(std::fabs(stored_x - 19.5) < 0.05);
      CHECK(std::fabs(stored_y - 11.5) < 0.05);
    }
}

TEST_CASE("without EXIF the photo is seen as it is stored") {
  const Folder folder;
  const Photo p = read_photo(jpeg_with_spot(folder, 6), 1, {.respect_exif = false});
  CHECK(p.pixels.shape() == Shape{32, 48, 1});
  CHECK(p.to_stored(3, 4) == std::array{3.0, 4.0});
}

TEST_CASE("max_size limits the longer side and never enlarges; no side falls to zero") {
  const Folder folder;
  const auto shape = [&](int64_t h, int64_t w, const PhotoOptions& o) {
    write_png(folder / "photo.png", some_photo(h, w, 0));
    return read_photo(folder / "photo.png", 1, o).pixels.shape();
  };
  CHECK(shape(30, 60, {.max_size = 20}) == Shape{10, 20, 1});
  CHECK(shape(60, 30, {.max_size = 20}) == Shape{20, 10, 1});
  CHECK(shape(30, 60, {.max_size = 100}) == Shape{30, 60, 1});
  CHECK(shape(30, 60, {.scale = 2, .max_size = 100}) == Shape{50, 100, 1});
  CHECK(shape(1, 60, {.max_size = 10}) == Shape{1, 10, 1});
  CHECK(shape(1, 1, {.scale = 0.01}) == Shape{1, 1, 1});
}

TEST_CASE("a photo has as many channels as the network takes") {
  const Folder folder;
  write_png(folder / "gray.png", some_photo(9, 7, 0));
  const Tensor gray = read_photo(folder / "gray.png", 1, {}).pixels;
  const Tensor color = read_photo(folder / "gray.png", 3, {}).pixels;
  CHECK(same_bits(gray, some_photo(9, 7, 0)));
  CHECK(same_bits(color, to_rgb(gray)));
}

TEST_CASE("features are of unit length at every pixel, and do not depend on the mode before") {
  Random random(1);
  ResUNet network({.outputs = 8}, random);
  const Tensor pixels = some_photo(21, 13, 2);
  network.train();
  const Tensor f = extract_features(network, pixels);
  CHECK(f.shape() == Shape{21, 13, 8});
  for (int64_t i = 0; i < 21 * 13; ++i) {
    double norm = 0;
    for (int c = 0; c < 8; ++c) norm += std::pow(double(f.data<float>()[i * 8 + c]), 2);
    CHECK(std::fabs(norm - 1) < 1e-5);
  }
  CHECK(same_bits(f, extract_features(network, pixels)));
}

TEST_CASE("features of damaged weights are an error, not matches") {
  Random random(1);
  ResUNet network({.outputs = 4}, random);
  const Tensor pixels = some_photo(16, 16, 1);
  CHECK(extract_features(network, pixels).shape() == Shape{16, 16, 4});
  for (const auto& s : network.state())
    if (s.name == "norm1.running_var") Tensor(s.tensor).data<float>()[3] = -1;
  CHECK(has(full_error_of([&] { extract_features(network, pixels); }),
            "nan: features: some are NaN"));
}

TEST_CASE("tiles cover the image once, begin at the network's stride and are of one size") {
  for (const auto& [h, w, side] : std::vector<std::array<int64_t, 3>>{
           {500, 700, 128}, {97, 1000, 64}, {33, 8, 64}, {1, 1, 64}, {801, 1203, 200}}) {
    std::vector<int> seen(size_t(h * w), 0);
    const auto tiles = tiles_of(h, w, side, 40);
    for (const Tile& t : tiles) {
      CHECK(t.x % 8 == 0);
      CHECK(t.y % 8 == 0);
      CHECK(t.width == tiles[0].width);
      CHECK(t.height == tiles[0].height);
      CHECK((t.x >= 0 && t.y >= 0 && t.x + t.width <= w && t.y + t.height <= h));
      CHECK((t.left == 0 || t.left - t.x >= 40));
      CHECK((t.right == w || t.x + t.width - t.right >= 40));
      for (int64_t y = t.top; y < t.bottom; ++y)
        for (int64_t x = t.left; x < t.right; ++x) ++seen[size_t(y * w + x)];
    }
    CHECK(std::ranges::count(seen, 1) == h * w);
  }
}

TEST_CASE("features in tiles are those of the whole image") {
  constexpr int64_t h = 220, w = 310;
  Random random(1);
  for (const bool own : {false, true}) {
    CAPTURE(own);
    ResUNet network({.outputs = 16, .image_statistics = own}, random);
    const Tensor pixels = some_photo(h, w, 5);
    FeatureExtractor extract(network);
    const Tensor before = extract(pixels);
    Tensor whole;  // by the moments of the whole image, taken once
    extract.in_tiles(pixels, 1000, [&](const Tensor& features, const Tile&) { whole = features; });
    CHECK(difference(whole, before) < 2e-2);  // an unbiased variance
    double largest = 0;
    int64_t pixels_seen = 0;
    extract.in_tiles(pixels, 80, [&](const Tensor& features, const Tile& t) {
      for (int64_t y = t.top; y < t.bottom; ++y)
        for (int64_t x = t.left; x < t.right; ++x, ++pixels_seen) {
          const float* a = whole.data<float>() + (y * w + x) * 16;
          const float* b = features.data<float>() + ((y - t.y) * t.width + x - t.x) * 16;
          for (int64_t c = 0; c < 16; ++c)
            largest = std::max(largest, std::fabs(double(a[c]) - b[c]));
        }
    });
    CHECK(pixels_seen == h * w);
    CHECK(largest < 3e-4);  // convolutions of another size round otherwise
    // The next photo is seen as if none had been before.
    CHECK(same_bits(extract(pixels), before));
  }
}

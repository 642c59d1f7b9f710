#include "data/homography_pairs.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <chrono>
#include <cmath>

#include "data/image.h"
#include "tests/compare.h"
#include "tests/data/sample_files.h"

using namespace cairn;
using namespace cairn::test;

namespace {

/// Waves long enough for bilinear sampling to be near exact, and different everywhere.
Tensor waves(int64_t h, int64_t w, int64_t c, double shift = 0) {
  Tensor t = Tensor::empty({h, w, c});
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double x = double(i / c % w), y = double(i / c / w), k = double(i % c) + shift;
    t.data<float>()[i] = float(127 + 60 * std::sin(x / 17 + k) + 60 * std::cos(y / 13 + x / 40));
  }
  return t.to(DType::u8);
}

float sample(const Tensor& image, double x, double y, int64_t k) {
  const int64_t w = image.dim(1), c = image.dim(2);
  const int64_t x0 = std::min(int64_t(x), w - 2), y0 = std::min(int64_t(y), image.dim(0) - 2);
  const float u = float(x - double(x0)), v = float(y - double(y0));
  const auto at = [&](int64_t i, int64_t j) {
    return image.data<float>()[((y0 + i) * w + x0 + j) * c + k];
  };
  return (1 - v) * ((1 - u) * at(0, 0) + u * at(0, 1)) + v * ((1 - u) * at(1, 0) + u * at(1, 1));
}

HomographyPairsOptions plain(int channels) {
  HomographyPairsOptions options;
  options.photometric = Photometric::none();
  options.channels = channels;
  return options;
}

bool same(const Pair& a, const Pair& b) {
  return same_bits(a.image0, b.image0) && same_bits(a.image1, b.image1) &&
         same_bits(a.positions0, b.positions0) && same_bits(a.positions1, b.positions1) &&
         a.name == b.name;
}

}  // namespace

TEST_CASE("corresponding places show the same value in both views") {
  Folder folder;
  write_png(folder / "a.png", waves(300, 400, 3));
  for (const int channels : {1, 3}) {
    HomographyPairsOptions options = plain(channels);
    options.views.height = 96;  // not square: x and y must not be mixed up
    if (channels == 3) options.views.bend = 0.5;
    const HomographyPairs source(folder.path, options);
    double right = 0, bottom = 0;
    for (uint64_t seed = 0; seed < 12; ++seed) {
      CAPTURE(seed);
      Random random(seed);
      const Pair pair = source.get(0, random);
      REQUIRE(pair.image0.shape() == Shape{96, 128, channels});
      REQUIRE(pair.image1.shape() == Shape{96, 128, channels});
      REQUIRE(pair.positions0.shape() == pair.positions1.shape());
      CHECK(pair.name == folder / "a.png");
      double worst = 0, total = 0;
      for (int64_t i = 0; i < pair.positions0.dim(0); ++i) {
        const double *p = pair.positions0.data<double>() + 2 * i,
                     *q = pair.positions1.data<double>() + 2 * i;
        CHECK_UNARY(p[0] == std::floor(p[0]) && p[1] == std::floor(p[1]));
        REQUIRE((q[0] >= 0 && q[0] <= 127 && q[1] >= 0 && q[1] <= 95));
        right = std::max(right, q[0]);
        bottom = std::max(bottom, q[1]);
        for (int64_t k = 0; k < channels; ++k) {
          const float a = sample(pair.image0, p[0], p[1], k),
                      b = sample(pair.image1, q[0], q[1], k);
          worst = std::max(worst, double(std::fabs(a - b)));
          total += std::fabs(a - b);
        }
      }
      CHECK(worst < 4 / 255.);  // curvature at different scales, and rounding of the levels
      CHECK(total / double(pair.positions0.numel() / 2 * channels) < 1 / 255.);
    }
    CHECK(right > 126);  // all of view 1 is used
    CHECK(bottom > 94);
  }
}

TEST_CASE("as many correspondences as asked for, without repetition; 0 means all") {
  Folder folder;
  write_png(folder / "a.png", waves(200, 200, 1));
  HomographyPairsOptions options = plain(1);
  const auto positions = [&](int64_t count) {
    options.correspondences = count;
    const HomographyPairs source(folder.path, options);
    Random random(2);
    return source.get(0, random).positions0.to_vector();
  };
  const auto all = positions(0), some = positions(500);
  CHECK(all.size() / 2 >= size_t(0.34 * 128 * 128));
  CHECK(some.size() == 1000);
  CHECK(positions(1 << 20) == all);
  std::vector<char> seen(128 * 128), exists(128 * 128);
  for (size_t i = 0; i < all.size(); i += 2) exists[size_t(all[i + 1] * 128 + all[i])] = 1;
  for (size_t i = 0; i < some.size(); i += 2) {
    const auto at = size_t(some[i + 1] * 128 + some[i]);
    CHECK(exists[at]);
    CHECK(!seen[at]);
    seen[at] = 1;
  }
}

TEST_CASE("the same index and random numbers give the same pair, cached or not") {
  Folder folder;
  for (int i = 0; i < 4; ++i) write_png(folder / cat(i, ".png"), waves(150, 170, 3, i));
  HomographyPairsOptions options;
  const HomographyPairs source(folder.path, options);
  options.cache_bytes = 1;
  const HomographyPairs forgetful(folder.path, options);
  for (const int64_t index : {0, 3, 0, 1, 3}) {
    Random a(5, uint64_t(index)), b = a, c(6, uint64_t(index));
    const Pair pair = source.get(index, a);
    CHECK(same(pair, forgetful.get(index, b)));
    CHECK(!same(pair, source.get(index, c)));
    for (const Tensor& t : {pair.image0, pair.image1})
      for (const float v : t.span<float>()) CHECK_UNARY(v >= -0.5f && v <= 0.5f);
  }
}

TEST_CASE("images are found in all folders below, in order, by any spelling of their ending") {
  Folder folder;
  std::filesystem::create_directories(folder / "b/c.png");
  for (const char* file : {"z.JPG", "b/a.Jpeg", "b/c.png/d.png", "note.txt", "png", "b/e.jpg.bak"})
    write_file_atomically(folder / file, "x");
  CHECK(find_images(folder.path) ==
        std::vector<std::string>{folder / "b/a.Jpeg", folder / "b/c.png/d.png", folder / "z.JPG"});
  CHECK(has(full_error_of([&] { find_images(folder / "none"); }),
            "io: find_images: cannot read the folder"));
}

TEST_CASE("links are followed, but not in circles; pipes and devices are not read") {
  Folder folder;
  for (const char* name : {"a", "b"}) std::filesystem::create_directories(folder / name);
  write_file_atomically(folder / "a/x.png", "x");
  std::filesystem::create_directory_symlink(".", folder / "self");
  std::filesystem::create_directory_symlink("../b", folder / "a/b");
  std::filesystem::create_directory_symlink("../a", folder / "b/a");
  std::filesystem::create_symlink("/dev/zero", folder / "zero.png");
  std::filesystem::create_symlink("nowhere", folder / "gone.png");
  REQUIRE(::mkfifo((folder / "pipe.png").c_str(), 0600) == 0);
  CHECK(find_images(folder.path) ==
        std::vector<std::string>{folder / "a/x.png", folder / "b/a/x.png", folder / "gone.png"});
}

TEST_CASE("broken photos are told in the order in which they were met") {
  Folder folder;
  for (const char* file : {"a.png", "b.png", "c.png"}) write_file_atomically(folder / file, "x");
  PhotoCache cache(find_images(folder.path), {});
  std::vector<std::string> told;
  for (const int64_t index : {2, 0, 2, 1}) {
    CHECK(!cache.get(index));
    const auto broken = cache.broken();
    for (size_t i = told.size(); i < broken.size(); ++i) told.push_back(broken[i].path);
  }
  CHECK(told == std::vector<std::string>{folder / "c.png", folder / "a.png", folder / "b.png"});
}

TEST_CASE("broken photos are reported and passed over; only when none is left is it an error") {
  Folder folder;
  write_file_atomically(folder / "a.png", "nonsense");
  write_png(folder / "b.png", waves(8, 8, 1));
  const auto open = [&] { HomographyPairs source(folder.path, plain(1)); };
  CHECK(has(full_error_of(open), "io: homography_pairs: no images: none of the 2"));
  write_png(folder / "c.png", waves(64, 64, 1));
  const HomographyPairs source(folder.path, plain(1));
  CHECK(source.size() == 3);
  for (const int64_t index : {0, 1, 2}) {
    Random random(1);
    CHECK(source.get(index, random).name == folder / "c.png");
  }
  const auto broken = source.broken();
  REQUIRE(broken.size() == 2);
  CHECK(broken[0].path == folder / "a.png");
  CHECK(has(broken[0].message, "none of a PNG, a JPEG"));
  CHECK(has(broken[1].message, "only 8 x 8 pixels"));

  Folder empty;
  CHECK(has(full_error_of([&] { HomographyPairs(empty.path, plain(1)); }), "no images: "));
  CHECK(has(full_error_of([&] { HomographyPairs(folder.path, plain(2)); }), "channels is 2"));
  Random random(1);
  CHECK(has(full_error_of([&] { source.get(3, random); }), "index: homography_pairs: no pair 3"));
}

TEST_CASE("a photo longer than max_side is reduced, and the budget of the cache is kept") {
  Folder folder;
  for (int i = 0; i < 3; ++i) write_png(folder / cat(i, ".png"), waves(100, 400, 1, i));
  PhotoCache cache(find_images(folder.path), {1, 200, 2 * (200 * 50 * 4 / 3)});
  const auto first = cache.get(0);
  REQUIRE(first);
  CHECK(first->levels()[0].shape() == Shape{50, 200, 1});
  const auto second = cache.get(1);
  CHECK(cache.get(0) == first);
  cache.get(2);  // no room for three: the one used longest ago goes
  CHECK(cache.get(0) == first);
  CHECK(cache.get(1) != second);
}

// How two photos lie to each other: turned, scaled, in several surfaces, stored otherwise than
// upright.
#include <doctest/doctest.h>

#include <set>

#include "tests/bin/match_bench.h"
#include "ucn/alignment.h"

using namespace cairn;
using namespace cairn::test;

TEST_CASE("a photo that lies on its side is found by trying rotations") {
  const Tensor upright = some_photo(60, 84, 1);
  write_png(bench().folder / "left.png", oriented(upright, 8).pixels);
  const Finished r =
      bench().match("a.png left.png --rotations 4 --mode keypoints --max-keypoints 300");
  CHECK(r.code == 0);
  CHECK(has(r.out, "turned by 90 degrees"));
  CHECK(bench().matches().size() > 5);
  for (const auto& [x0, y0, x1, y1, score, inlier] : bench().matches()) {
    CHECK(std::abs(x1 - y0) < 0.5);
    CHECK(std::abs(y1 - (83 - x0)) < 0.5);
  }
}

TEST_CASE("mode all aligns the photos by itself") {
  const std::string weights =
      " --weights " CAIRN_SOURCE_DIR "/ucn/weights/ucn-slim.safetensors --max-size 320";
  const std::string photo = CAIRN_SOURCE_DIR "/data/demo/pair/a.jpg";
  const Tensor upright = read_image(photo).pixels;
  const int64_t w = upright.dim(1), h = upright.dim(0);
  write_png(bench().folder / "aside.png", oriented(resize_area(upright, h / 2, w / 2), 8).pixels);
  const auto right = [&] {
    double good = 0;
    for (const auto& [x0, y0, x1, y1, score, inlier] : bench().matches())
      good += std::hypot(2 * x1 + 0.5 - y0, 2 * (double(w) / 2 - 1 - y1) + 0.5 - x0) < 4;
    return good / std::max<double>(1, double(bench().matches().size()));
  };
  const Finished r = run("cd '" + bench().folder.path.string() + "'; exec match " + photo +
                         " aside.png --out out" + weights);
  CHECK(r.code == 0);
  CHECK(has(r.out, "of a first look"));
  CHECK(bench().matches().size() > 200);
  CHECK(right() > 0.8);
  const Finished plain = run("cd '" + bench().folder.path.string() + "'; exec match " + photo +
                             " aside.png --no-align --out out" + weights);
  CHECK(plain.code == 0);
  CHECK(!has(plain.out, "first look"));
  CHECK(right() < 0.2);
}

TEST_CASE("what comes nearer by another scale than the rest is matched as well, once") {
  // As when walking on: below the horizon all is 1.8 times larger.
  const Tensor before = resize_area(
      read_image(CAIRN_SOURCE_DIR "/data/demo/pair/a.jpg", {.channels = 1}).pixels, 300, 400);
  const Homography nearer = compose(translation(-160, -112), scaling(1.8, 1.8));
  constexpr int64_t horizon = 110, width = 400;
  Tensor after = before.clone();
  const Tensor near = ucn::look_through({300, width, inverse(nearer)}, before);
  std::copy_n(near.data<uint8_t>() + horizon * width, near.numel() - horizon * width,
              after.data<uint8_t>() + horizon * width);
  write_png(bench().folder / "before.png", before);
  write_png(bench().folder / "after.png", after);
  const auto match = [&](const std::string& photos) {
    const Finished r =
        run("cd '" + bench().folder.path.string() + "'; exec match " + photos +
            " --out out --weights " CAIRN_SOURCE_DIR "/ucn/weights/ucn-slim.safetensors");
    CHECK(r.code == 0);
    CHECK(has(r.out, "  after joining surfaces "));
    return bench().matches();
  };
  const auto matches = match("before.png after.png");
  int same = 0, larger = 0;
  for (const auto& [x0, y0, x1, y1, score, inlier] : matches) {
    const Point p = apply(nearer, x0, y0);
    same += std::hypot(x1 - x0, y1 - y0) < 3;
    larger += std::hypot(x1 - p[0], y1 - p[1]) < 3;
  }
  CHECK(same > 100);
  CHECK(larger > 100);
  CHECK(same + larger > 0.9 * double(matches.size()));
  double least = INFINITY;
  for (size_t k = 0; k < matches.size(); ++k)
    for (size_t l = 0; l < k; ++l)
      for (const size_t end : {0, 2})
        least = std::min(least, std::hypot(matches[k][end] - matches[l][end],
                                           matches[k][end + 1] - matches[l][end + 1]));
  CHECK(least > 1.99);
  auto back = match("after.png before.png");
  CHECK(back.size() == matches.size());
  for (auto& [x0, y0, x1, y1, score, inlier] : back) std::swap(x0, x1), std::swap(y0, y1);
  CHECK(std::set(back.begin(), back.end()) == std::set(matches.begin(), matches.end()));
}

TEST_CASE("match gives coordinates of the pixels that the file stores, resized and turned or not") {
  // b is stored a quarter turn to the left of upright: EXIF 6 says to turn it clockwise.
  const Tensor upright = some_photo(60, 84, 1);
  std::vector<Bytes> rows(84, Bytes(60));
  for (int64_t y = 0; y < 60; ++y)
    for (int64_t x = 0; x < 84; ++x)
      rows[size_t(84 - 1 - x)][size_t(y)] = upright.data<uint8_t>()[y * 84 + x];
  // Upright (x, y) is stored at (y, 83 - x).
  bench().write("turned.png",
                make_png(60, rows, {.color = PNG_COLOR_TYPE_GRAY, .exif = make_exif(6)}));
  for (const std::string resize : {"", " --max-size 42", " --scale 2"}) {
    CAPTURE(resize);
    CHECK(bench().match("a.png turned.png" + resize).code == 0);
    const auto matches = bench().matches();
    CHECK(matches.size() > 5);
    for (const auto& [x0, y0, x1, y1, score, inlier] : matches) {
      CHECK(std::abs(x1 - y0) < 0.5);
      CHECK(std::abs(y1 - (83 - x0)) < 0.5);
    }
  }
  // As stored, the photo is 60 x 84, and nothing is turned.
  const Finished r = bench().match("turned.png turned.png --no-exif");
  CHECK(has(r.out, "turned.png: 60 x 84, seen at 60 x 84"));
}

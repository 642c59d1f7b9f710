#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "data/npz.h"
#include "nn/safetensors.h"
#include "tests/bin/match_bench.h"
#include "ucn/alignment.h"
#include "ucn/match_files.h"

using namespace cairn;
using namespace cairn::test;

namespace {

/// A PNG's signature and header, of any size, and nothing else.
Bytes png_header(uint32_t width, uint32_t height) {
  Bytes file = make_png(1, {{0}}, {.color = PNG_COLOR_TYPE_GRAY});
  const auto put = [&](size_t at, uint32_t v) {
    for (int i = 0; i < 4; ++i) file[at + size_t(i)] = uint8_t(v >> (24 - 8 * i));
  };
  put(16, width);
  put(20, height);
  uint32_t crc = ~0u;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= file[i];
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  put(29, ~crc);
  return file;
}

}  // namespace

TEST_CASE("match writes a table and a picture and says the numbers") {
  const Finished r = bench().match("a.png b.png");
  CHECK(r.code == 0);
  CHECK(r.err == "");
  const auto rows = bench().matches();
  CHECK(rows.size() > 20);
  CHECK(has(r.out, "  after support          " + std::to_string(rows.size()) + "\n"));
  CHECK(has(r.out, "fundamental              " + std::to_string(rows.size()) + " inliers"));
  for (const auto& [x0, y0, x1, y1, score, inlier] : rows) {
    CHECK(std::hypot(x0 - x1, y0 - y1) < 0.3);  // a copy matches itself in place
    CHECK(score > 0.98);
    CHECK(inlier == 1);
  }
  const Image picture = read_image(bench().folder / "out/matches.png");
  CHECK(picture.width() == 2 * 480 + 4);  // enlarged, so that the legend is legible
  CHECK(picture.height() > 343);
  CHECK(has(r.out, "peak memory"));
  CHECK(bench().match("a.png b.png --threads 1").code == 0);
  CHECK(bench().matches() == rows);
}

TEST_CASE("match finds the same set when the photos are swapped, in every mode") {
  write_png(bench().folder / "c.png", some_photo(64, 80, 2));
  for (const char* mode : {"keypoints", "all", "all_all", "all + support"}) {
    CAPTURE(mode);
    // What c.png shows is another thing, of which no match finds support.
    const bool alike = std::string(mode) == "all + support";
    const std::string how =
        cat(" --max-size 64 ", alike ? "--mode all" : cat("--support 0 --mode ", mode));
    const std::string a = "a.png", other = alike ? "b.png" : "c.png";
    CHECK(bench().match(cat(a, " ", other, how)).code == 0);
    auto there = bench().matches();
    CHECK(bench().match(cat(other, " ", a, how)).code == 0);
    auto back = bench().matches();
    for (auto& [x0, y0, x1, y1, score, inlier] : back) {
      std::swap(x0, x1);
      std::swap(y0, y1);
    }
    CHECK(there.size() > 3);
    for (auto* rows : {&there, &back}) {
      for (auto& r : *rows) r[5] = 0;  // the models may differ in rounding
      std::ranges::sort(*rows);
    }
    CHECK(there == back);
  }
}

TEST_CASE("each filter says how many it left, and leaves fewer") {
  const auto left = [](const std::string& filters, const char* name) {
    const Finished r = bench().match("a.png c.png --verify none " + filters);
    CAPTURE(filters);
    CHECK(r.code == 0);
    const size_t at = r.out.find(name);
    REQUIRE(at != std::string::npos);
    return std::atoi(r.out.c_str() + at + std::string(name).size());
  };
  write_png(bench().folder / "c.png", some_photo(64, 80, 2));
  const int all = left("", "after search back");
  CHECK(all > 0);
  CHECK(left("", "matches ") > all);
  CHECK(left("--min-similarity 0.99", "after similarity") < all);
  CHECK(left("--ratio 0.7", "after ratio") < all);
  CHECK(left("--min-probability 0.5", "after probability") < all);
  CHECK(left("--stability", "after search back") < all);
  const Finished one_way = bench().match("a.png c.png --one-way");
  CHECK(has(one_way.out, "matches"));
  CHECK(!has(one_way.out, "search back"));
}

TEST_CASE("match exports what others read") {
  const Finished r = bench().match("a.png b.png --export csv,json,npz,yml --verify homography");
  REQUIRE(r.code == 0);
  const size_t n = bench().matches().size();
  const auto j = nlohmann::json::parse(contents(bench().folder / "out/matches.json"));
  CHECK(j["matches"].size() == n);
  CHECK(j["photo0"]["width"] == 84);
  CHECK(j["geometry"]["kind"] == "homography");
  CHECK(j["geometry"]["matrix"].size() == 9);
  CHECK(j["same_scene"].get<double>() >= 0);
  CHECK(has(contents(bench().folder / "out/matches.yml"), "%YAML:1.0\n---\n"));
  for (const char* file : {"out/matches.npz", "out/matches.csv"}) {
    const ucn::MatchFile read = ucn::read_matches(bench().folder / file);
    REQUIRE(read.matches.size() == n);
    CHECK(read.matches[0].x0 == doctest::Approx(bench().matches()[0][0]).epsilon(1e-4));
    CHECK(read.scores[0] == doctest::Approx(bench().matches()[0][4]).epsilon(1e-4));
  }
  CHECK(bench().match("a.png b.png --export obj").code == 2);
  // In mode keypoints the npz has all of them, matched or not, as SuperGlue's.
  const Finished k = bench().match("a.png b.png --mode keypoints --ratio 0.5 --export csv,npz");
  REQUIRE(k.code == 0);
  const auto npz = read_npz(bench().folder / "out/matches.npz");
  const int64_t looked_at = std::get<Tensor>(npz.at("keypoints0")).dim(0);
  CHECK(has(k.out, "keypoints                " + std::to_string(looked_at) + " in A"));
  CHECK(ucn::read_matches(bench().folder / "out/matches.npz").matches.size() ==
        bench().matches().size());
  CHECK(bench().match("a.png b.png --mode keypoints --stability").code == 0);
}

TEST_CASE("unrelated and blank photos give few matches, a low score and no error") {
  write_png(bench().folder / "blank.png", Tensor::full({60, 84, 1}, 90, DType::u8));
  for (const char* photos : {"a.png blank.png", "blank.png blank.png"}) {
    CAPTURE(std::string(photos));
    const Finished r = bench().match(photos);
    CHECK(r.code == 0);
    CHECK(r.err == "");
    CHECK(has(r.out, "the photos probably show different things"));
  }
  // What is plain matches along the borders, pixel beside pixel.
  Tensor blue = Tensor::full({60, 84, 3}, 60, DType::u8);  // plain in every channel
  for (int64_t k = 2; k < blue.numel(); k += 3) blue.data<uint8_t>()[k] = 200;
  write_png(bench().folder / "blue.png", blue);
  for (const char* other : {"blank.png", "blue.png"}) {
    CAPTURE(std::string(other));
    const Finished dense = run("cd '" + bench().folder.path.string() + "'; exec match a.png " +
                               other + " --mode all_all --out out");
    CHECK(dense.code == 0);
    CHECK(has(dense.out, "the photos probably show different things"));
  }
}

TEST_CASE("match does not write over what it reads") {
  std::filesystem::create_directories(bench().folder / "taken");
  write_png(bench().folder / "taken/matches.png", some_photo(60, 84, 1));
  const std::string before = contents(bench().folder / "taken/matches.png");
  for (const char* how :
       {"taken/matches.png b.png --out taken", "b.png taken/matches.png --out taken",
        "taken/matches.png b.png --trace taken/matches.png"}) {
    const Finished r = run("cd '" + bench().folder.path.string() +
                           "'; exec match --weights weights.safetensors " + how);
    CAPTURE(how);
    CHECK(r.failed_in_one_line(2));
    CHECK(has(r.err, "would be overwritten"));
  }
  CHECK(contents(bench().folder / "taken/matches.png") == before);
  for (const char* trace : {"out/matches.csv", "taken/../out/matches.png"}) {  // nor over itself
    const Finished r = bench().match(std::string("a.png b.png --trace ") + trace);
    CHECK(r.failed_in_one_line(2));
    CHECK(has(r.err, "--trace would be written over"));
  }
}

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

TEST_CASE("match takes the smallest photos") {
  bench().write("one.png", make_png(1, {{7}}, {.color = PNG_COLOR_TYPE_GRAY}));
  bench().write("five.png", make_png(5, {{1, 9, 3, 7, 5}, {200, 2, 8, 4, 90}, {6, 0, 90, 200, 1}},
                                     {.color = PNG_COLOR_TYPE_GRAY}));
  for (const char* photos :
       {"one.png one.png", "one.png a.png", "five.png five.png", "a.png five.png"})
    for (const char* how : {"", " --mode keypoints", " --mode all_all",
                            " --mode all_all --coarse 4", " --keypoints grid"}) {
      CAPTURE(photos);
      CAPTURE(how);
      const Finished r = bench().match(std::string(photos) + how);
      CHECK(r.code == 0);
      CHECK(r.err == "");
      for (const auto& row : bench().matches()) CHECK(std::isfinite(row[4]));
    }
}

TEST_CASE("match says how much of a search coarse to fine is exact") {
  const std::string all = "a.png a.png --max-size 64 --mode all_all";
  CHECK(bench().match(all).out.find("exact search") == std::string::npos);
  CHECK(bench().match(all + " --coarse 2").out.find("% as by the exact search") !=
        std::string::npos);
  CHECK(has(bench().match("a.png a.png --coarse 4").out, "found coarse to fine"));
  CHECK(!has(bench().match("a.png a.png --coarse 0").out, "found coarse to fine"));
  CHECK(has(bench().match("a.png a.png --mode keypoints --coarse 2").err,
            "is for modes all and all_all"));
  CHECK(bench().match(all + " --coarse 1").code == 2);
}

TEST_CASE("match says in one line what is wrong with a photo, and keeps what it wrote before") {
  REQUIRE(bench().match("a.png b.png").code == 0);
  const std::string csv = contents(bench().folder / "out/matches.csv");
  Bytes whole = read_file(bench().folder / "a.png");
  bench().write("empty.png", {});
  bench().write("half.png", Bytes(whole.begin(), whole.begin() + int64_t(whole.size() / 2)));
  bench().write("text.png", {'h', 'e', 'l', 'l', 'o'});
  bench().write("zero.png", png_header(0, 5));
  bench().write("huge.png", png_header(60000, 60000));
  std::filesystem::create_directories(bench().folder / "folder.png");
  for (const std::string name :
       {"missing.png", "empty.png", "half.png", "text.png", "zero.png", "huge.png", "folder.png"}) {
    for (const std::string& photos : {"a.png " + name, name + " a.png"}) {
      CAPTURE(photos);
      const Finished r = bench().match(photos);
      CAPTURE(r.err);
      CHECK(r.failed_in_one_line(1));
      CHECK(has(r.err, "match: "));
      CHECK(has(r.err, name));
      CHECK(r.out == "");
    }
  }
  CHECK(contents(bench().folder / "out/matches.csv") == csv);
}

TEST_CASE("a score head finds keypoints") {
  Random random(5);
  ucn::save_weights(bench().folder / "scored.safetensors",
                    ucn::ResUNet({.outputs = 16, .score_head = true}, random));
  const auto with = [](const std::string& arguments) {
    return run("cd '" + bench().folder.path.string() +
               "'; exec match a.png b.png --out scored --model scored.safetensors --ratio 1 "
               "--support 0 --whole-pixels " +
               arguments);
  };
  for (const char* mode : {"keypoints", "all --no-align --coarse 0", "all --coarse 0"}) {
    CAPTURE(std::string(mode));
    const Finished r =
        with(cat("--keypoints score --max-keypoints 40 --export csv,json,npz,yml "
                 "--mode ",
                 mode));
    CAPTURE(r.err);
    REQUIRE(r.code == 0);
    CHECK(has(r.out, "40 in A, 40 in B"));
    std::istringstream csv(contents(bench().folder / "scored/matches.csv"));
    std::string line;
    std::getline(csv, line);
    CHECK(line == "x0,y0,x1,y1,score,confidence,inlier");
    int rows = 0;
    for (; std::getline(csv, line); ++rows) {
      double v[7];
      REQUIRE(std::sscanf(line.c_str(), "%lf,%lf,%lf,%lf,%lf,%lf,%lf", v, v + 1, v + 2, v + 3,
                          v + 4, v + 5, v + 6) == 7);
      CHECK(v[5] > 0);
      CHECK(v[5] < 1);
    }
    CHECK(rows >= 30);  // of a photo and its copy
    const auto json = nlohmann::json::parse(contents(bench().folder / "scored/matches.json"));
    CHECK(json["columns"][5] == "confidence");
    CHECK(int(json["matches"].size()) == rows);
  }
  // In tiles as from the whole: the same maxima.
  const auto keypoints = [&](const char* tile) {
    REQUIRE(with(cat("--mode keypoints --keypoints score --max-keypoints 40 --scale 4 --export npz "
                     "--max-size 0 --tile ",
                     tile))
                .code == 0);
    const auto archive = read_npz(bench().folder / "scored/matches.npz");
    std::set<std::pair<double, double>> points;
    const auto p = std::get<Tensor>(archive.at("keypoints0")).to_vector();
    for (size_t k = 0; k < p.size(); k += 2) points.emplace(p[k], p[k + 1]);
    return points;
  };
  const auto whole = keypoints("0"), tiled = keypoints("64");
  CHECK(whole.size() == 40);
  CHECK(tiled.size() == 40);
  // All but what rounding moves across the fortieth's score.
  CHECK(std::ranges::count_if(tiled, [&](const auto& p) { return whole.contains(p); }) >= 38);
  const Finished r = bench().match("a.png b.png --keypoints score");
  CHECK(r.failed_in_one_line(2));
  CHECK(has(r.err, "no score head"));
}

TEST_CASE("--model takes the name of weights that come with it, or a file") {
  const auto with = [](const std::string& model) {
    return run("cd '" + bench().folder.path.string() + "'; exec match a.png b.png --out out " +
               model);
  };
  CHECK(with("").code == 0);
  const auto rows = bench().matches();
  CHECK(with("--model ucn-slim").code == 0);
  CHECK(bench().matches() == rows);
  for (const char* other : {"ucn-f", "weights.safetensors"}) {
    CHECK(with(cat("--model ", other)).code == 0);
    CHECK(bench().matches() != rows);
  }
  const Finished r = with("--model ucn-x");
  CHECK(r.failed_in_one_line(1));
  CHECK(has(r.err, "ucn-x"));
  CHECK(has(r.err, "(ucn-f, ucn-slim)"));
}

TEST_CASE("match says which layer of the weights does not fit, and what else is wrong with them") {
  Random random(0);
  const auto with = [&](const char* name, const ucn::Metadata& lie) {
    nn::TensorFile file{nn::export_state(ucn::ResUNet({.outputs = 16}, random)),
                        ucn::describe({.outputs = 16})};
    for (const auto& [key, value] : lie) file.metadata[key] = value;
    nn::save_safetensors(bench().folder / name, file);
    const Finished r = run("cd '" + bench().folder.path.string() +
                           "'; exec match a.png b.png --out out --weights " + name);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, name));
    return r.err;
  };
  const std::string other = with("other.safetensors", {{"model", "ResUNetBN2C"}});
  CHECK(has(other, "layer conv1.weight is 16x1x3x3, but the model expects 32x1x3x3"));
  CHECK(has(with("outputs.safetensors", {{"outputs", "64"}}), "layer final.weight"));
  CHECK(has(with("unknown.safetensors", {{"model", "VGG"}}), "unknown model 'VGG'"));
  CHECK(has(with("many.safetensors", {{"outputs", "1e9"}}), "outputs = '1e9'"));

  const std::string photos = "a.png b.png --weights ";
  for (const std::string bad : {"missing.safetensors", "a.png", "."}) {
    const Finished r = run("cd '" + bench().folder.path.string() + "'; exec match " + photos + bad);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, bad));
  }
}

TEST_CASE("match says in one line that its results cannot be written, and damages nothing") {
  REQUIRE(bench().match("a.png b.png").code == 0);
  const std::string csv = contents(bench().folder / "out/matches.csv"),
                    png = contents(bench().folder / "out/matches.png");
  const Finished full = bench().match("a.png a.png --mode all_all", "ulimit -f 1;");
  CAPTURE(full.err);
  CHECK(full.failed_in_one_line(1));
  CHECK(has(full.err, "out/matches.csv"));
  CHECK(contents(bench().folder / "out/matches.csv") == csv);
  CHECK(contents(bench().folder / "out/matches.png") == png);
  CHECK(files_ending(bench().folder / "out", ".tmp").empty());

  for (const std::string out : {"/proc/nothing", "a.png/below", "a.png"}) {
    const Finished r = run("cd '" + bench().folder.path.string() +
                           "'; exec match a.png b.png --weights weights.safetensors --out " + out);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, out));
  }
  const Finished output = bench().match("a.png b.png >/dev/full");
  CHECK(output.failed_in_one_line(1));
  CHECK(has(output.err, "standard output"));
}

TEST_CASE("match tells bad usage from failure") {
  for (const char* arguments : {"",
                                "a.png",
                                "a.png b.png c.png",
                                "a.png b.png --nonsense",
                                "a.png b.png --mode best",
                                "a.png b.png --support 21",
                                "a.png b.png --mode all_all --support 3",
                                "a.png b.png --draw circles",
                                "a.png b.png --ratio nan",
                                "a.png b.png --radius 0",
                                "a.png b.png --max-keypoints 0",
                                "a.png b.png --max-size -1",
                                "a.png b.png --scale 9",
                                "a.png b.png --threads -1",
                                "a.png b.png --threads many",
                                "a.png b.png --device gpu",
                                "a.png b.png --device cuda:",
                                "a.png b.png --device cuda:-1",
                                "a.png b.png --device cuda:1x",
                                "a.png b.png --precision half"}) {
    CAPTURE(arguments);
    const Finished r = bench().match(arguments);
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(2));
    CHECK(r.out == "");
  }
}

TEST_CASE("--device cuda never computes on the CPU instead") {
  const Finished r = bench().match("a.png b.png --device cuda");
  if (r.code != 0) {  // built without, no driver, no GPU, ...
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, "match: cuda: "));
  } else {
    CHECK(has(r.out, "on NVIDIA"));
  }
}

TEST_CASE("a precision that the device does not have is refused") {
  const Finished r = bench().match("a.png b.png --device cpu --precision bf16");
  CHECK(r.failed_in_one_line(2));
  CHECK(has(r.err, "bf16 is for the GPU"));
}

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "data/npz.h"
#include "nn/safetensors.h"
#include "tests/bin/match_bench.h"
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

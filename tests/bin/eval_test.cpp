// eval, as a person who compares methods would use it.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "data/image.h"
#include "tests/bin/command.h"
#include "tests/ucn/some_photos.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::test;

namespace {

/// A folder with a list of one pair: b.png shows a.png moved by (16, 8).
struct Bench {
  Folder folder;
  Bench() {
    const Tensor picture = some_photo(160, 200, 1);
    for (int k = 0; k < 2; ++k) {
      Tensor view = Tensor::empty({150, 180, 1}, DType::u8);
      for (int64_t y = 0; y < 150; ++y)
        for (int64_t x = 0; x < 180; ++x)
          view.data<uint8_t>()[y * 180 + x] =
              picture.data<uint8_t>()[(y + 8 * k) * 200 + x + 16 * k];
      write_png(folder / (k == 0 ? "a.png" : "b.png"), view);
    }
    write_file_atomically(folder / "pairs_homography.txt",
                          std::string_view("a.png b.png 1 0 -16 0 1 -8 0 0 1\n"));
    Random random(3);
    ucn::save_weights(folder / "weights.safetensors", ucn::ResUNet({.outputs = 16}, random));
  }
  nlohmann::json numbers() const { return nlohmann::json::parse(contents(folder / "report.json")); }
};

}  // namespace

TEST_CASE("eval measures the network and RootSIFT by one protocol, and prints it") {
  const Bench b;
  const Finished r =
      run("cd '" + b.folder.path.string() +
          "'; eval=$(command -v train | sed s/train/eval/); exec $eval . --weights "
          "weights.safetensors --baseline sift --hits --json report.json --write-matches m");
  CAPTURE(r.err);
  REQUIRE(r.code == 0);
  CHECK(has(r.out, "protocol"));
  CHECK(has(r.out, "LO-RANSAC"));
  const nlohmann::json set = b.numbers()["sets"][0];
  for (const char* method : {"cairn", "sift"}) {
    const auto& all = set["methods"][method]["all"];
    CHECK(all["MMA@3"].get<double>() > 0.6);
    CHECK(all["AUC@3"].get<double>() > 0.8);
    CHECK(all["MMA@1 95%"].size() == 2);
    CHECK(set["methods"][method]["pairs"].size() == 1);
    CHECK(std::filesystem::exists(b.folder / cat("m/", method, "/a_b_matches.npz")));
  }
  CHECK(set["methods"]["cairn"]["all"]["hit"].get<double>() > 0.5);

  // Scoring the files gives the same numbers.
  const Finished again = run("cd '" + b.folder.path.string() +
                             "'; eval=$(command -v train | sed s/train/eval/); exec $eval . "
                             "--matches m/cairn --json report.json");
  CHECK(again.code == 0);
  const nlohmann::json files = b.numbers()["sets"][0]["methods"]["files"]["all"];
  for (const char* name : {"matches", "MMA@1", "MMA@10"})
    CHECK(files[name].get<double>() ==
          doctest::Approx(set["methods"]["cairn"]["all"][name].get<double>()).epsilon(1e-6));
}

TEST_CASE("eval makes warps of a folder of photos, and says what is wrong with a set") {
  const Bench b;
  const std::string eval = "cd '" + b.folder.path.string() +
                           "'; eval=$(command -v train | sed s/train/eval/); exec $eval ";
  std::filesystem::create_directories(b.folder / "photos");
  write_png(b.folder / "photos/p.png", some_photo(300, 400, 2));
  const Finished warps =
      run(eval + "photos --weights weights.safetensors --warps 2 --keypoints grid --bootstrap 0");
  CAPTURE(warps.err);
  CHECK(warps.code == 0);
  CHECK(has(warps.out, "2 pairs"));
  CHECK(has(warps.out, "inflated"));
  for (const char* bad : {"nowhere --weights weights.safetensors", ". --weights missing",
                          ". --matches nowhere", "m --weights weights.safetensors"}) {
    CAPTURE(bad);
    std::filesystem::create_directories(b.folder / "m");
    CHECK(run(eval + bad).failed_in_one_line(1));
  }
  CHECK(run(eval + ". --baseline orb").failed_in_one_line(2));
  write_file_atomically(
      b.folder / "mixed.txt",
      std::string_view("a.png b.png 1 0 -16 0 1 -8 0 0 1\na.png b.png 9 0 5 0 9 5 0 0 "
                       "1 9 0 5 0 9 5 0 0 1 1 0 0 7 0 1 0 8 0 0 1 9 0 0 0 1\n"));
  CHECK(run(eval + "mixed.txt --weights weights.safetensors").failed_in_one_line(1));
}

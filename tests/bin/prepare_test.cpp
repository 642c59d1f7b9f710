// bin/prepare and bin/eval, and bin/train on what they make, as a person at a shell runs them.
#include <doctest/doctest.h>

#include "tests/bin/command.h"
#include "tests/data/reconstruction.h"
#include "tests/ucn/some_photos.h"

using namespace cairn;
using namespace cairn::test;

namespace {

const std::string golden = CAIRN_SOURCE_DIR "/tests/golden/files/yfcc/raw";
constexpr const char* tiny =
    " --crop 32 --outputs 8 --correspondences 60 --num-pos 20 --num-hn-samples 64 --iterations 2";

Finished in(const Folder& folder, const std::string& line) {
  return run("cd '" + folder.path.string() + "'; exec " + line);
}

void write_reconstruction(const Folder& folder) {
  std::filesystem::create_directories(folder / "model");
  std::filesystem::create_directories(folder / "photos");
  const Scene scene;
  scene.binary().write(folder / "model", ".bin");
  scene.write_photos(folder / "photos");
}

}  // namespace

TEST_CASE("prepare yfcc writes pairs that train takes; a second time it changes nothing") {
  const Folder folder;
  const Finished r = in(folder, "prepare yfcc --raw '" + golden + "' --out pairs");
  CHECK(r.code == 0);
  CHECK(r.err == "");
  CHECK(has(r.out, "taj_mahal/train                              14 pairs"));
  CHECK(has(r.out, "train 1 of the 64 scenes"));
  CHECK(files_ending(folder / "pairs/taj_mahal", ".npz").size() == 18);
  const std::string one = folder / "pairs/taj_mahal/val_000000_000001.npz";
  const auto written = std::filesystem::last_write_time(one);
  CHECK(in(folder, "prepare yfcc --raw '" + golden + "' --out pairs").code == 0);
  CHECK(std::filesystem::last_write_time(one) == written);
  const Finished t = in(folder, "train --yfcc-raw '" + golden +
                                    "' --yfcc-pairs pairs --held-out 0.1 --out run" + tiny);
  CHECK(t.code == 0);
  CHECK(has(t.out, "14 pairs of YFCC100M (train)"));
}

TEST_CASE("prepare show draws pairs of any source and counts them; train takes them mixed") {
  const Folder folder;
  write_reconstruction(folder);
  const std::string sources =
      " --images photos --colmap model --photos photos --mix homography:1,colmap:1";
  const Finished r = in(folder, "prepare show" + sources + " --crop 64 --pairs 3 --out shown");
  CHECK(r.code == 0);
  CHECK(r.err == "");
  CHECK(files_ending(folder / "shown", ".png").size() == 3);
  const Image drawn = read_image(folder / "shown/pair-0.png");
  CHECK(drawn.width() == 2 * 3 * 64 + 4);
  for (const char* said : {"50 % 3 pairs of photos of the reconstruction", "of 100 pairs",
                           "correspondences in a pair", "turn of the second view", "its scale"})
    CHECK(has(r.out, said));
  CHECK(in(folder, "train" + sources + " --out run" + tiny).code == 0);
}

TEST_CASE("eval knows the photo itself, and says in a line what is wrong with a list") {
  const Folder folder;
  write_photos(folder.path, 1);
  REQUIRE(in(folder, "train --images . --out run" + std::string(tiny)).code == 0);
  const auto eval = [&](const std::string& list) {
    write_file_atomically(folder / "list.txt", std::string_view(list));
    return in(folder, "eval list.txt --weights run/weights.safetensors --hits --bootstrap 0");
  };
  const Finished r = eval("# a comment\nphoto-0.png photo-0.png 1 0 0 0 1 0 0 0 1\n");
  CHECK(r.code == 0);
  CHECK(has(r.out, "      hit    recip  rec hit"));
  CHECK(has(r.out, "    1.000    1.000    1.000"));
  for (const char* bad : {"", "# only this\n", "photo-0.png\n", "a b 1 2 3 4 5 6 7 8\n",
                          "a b 1 2 3 4 5 6 7 8 9 10\n", "a b 1 2 3 4 5 6 7 8 x\n"})
    CHECK(eval(bad).failed_in_one_line(1));
  CHECK(has(eval("none.png none.png 1 0 0 0 1 0 0 0 1\n").err, "none.png"));
}

TEST_CASE("prepare says in a line what is wrong") {
  const Folder folder;
  for (const char* line : {"prepare", "prepare cook", "prepare yfcc", "prepare show",
                           "prepare show --out x", "prepare yfcc --raw x --out y --pairs 0",
                           "prepare show --images . --out x --angle up --colmap m --photos p"})
    CHECK(in(folder, line).failed_in_one_line(2));
  for (const char* line : {"prepare yfcc --raw none --out y", "prepare show --images . --out x",
                           "prepare show --colmap . --photos . --out x"})
    CHECK(in(folder, line).failed_in_one_line(1));
  CHECK(folder.entries() == 0);
  for (const char* line : {"prepare --help", "prepare yfcc --help", "prepare show --help"}) {
    const Finished r = in(folder, line);
    CHECK(r.code == 0);
    CHECK(has(r.out, "Usage: prepare"));
  }
}

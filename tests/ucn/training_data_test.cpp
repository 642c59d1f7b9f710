// What a run is trained on, and what it is not.
#include "ucn/training_data.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/data/reconstruction.h"
#include "tests/errors.h"
#include "tests/folder.h"
#include "tests/ucn/some_photos.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

/// Folders of photos, one of which is the photos of a reconstruction.
struct Place {
  test::Folder folder;
  Place() {
    for (const char* set : {"photos/hill", "photos/lake", "photos/tower"}) {
      std::filesystem::create_directories(folder / set);
      test::write_photos(folder / set, 3);
    }
    std::filesystem::create_directories(folder / "model");
    const test::Scene scene;
    scene.binary().write(folder / "model", ".bin");
    scene.write_photos(folder / "photos/tower");
  }
  TrainOptions options() const {
    TrainOptions o;
    o.images = folder / "photos";
    o.crop = 32;
    o.correspondences = 100;
    return o;
  }
};

/// The folders of the photos that many pairs show.
std::set<std::string> folders_of(const PairSource& source) {
  std::set<std::string> found;
  for (uint64_t k = 0; k < 60; ++k) {
    Random random(1, k);
    const std::string name = source.get(int64_t(k) % source.size(), random).name;
    found.insert(std::filesystem::path(name).parent_path().filename());
  }
  return found;
}

}  // namespace

TEST_CASE("photos and reconstructions are mixed as asked") {
  const Place place;
  TrainOptions o = place.options();
  CHECK(folders_of(*open_training_data(o).train) == std::set<std::string>{"hill", "lake", "tower"});
  CHECK(open_training_data(o).held_out == nullptr);
  o.colmap = {place.folder / "model"};
  o.photos = {place.folder / "photos/tower"};
  o.mix = "colmap:0.25,homography:0.75";
  const std::string text = open_training_data(o).train->description();
  CHECK(text.find("75 % pairs of 32 x 32 gray views of 13 photos") != std::string::npos);
  CHECK(text.find("25 % 3 pairs of photos of the reconstruction") != std::string::npos);
  o.images = "";
  o.mix = "";
  CHECK(folders_of(*open_training_data(o).train) == std::set<std::string>{"tower"});
}

TEST_CASE("what is held out is whole scenes, whichever source shows them") {
  const Place place;
  TrainOptions o = place.options();
  o.colmap = {place.folder / "model"};
  o.photos = {place.folder / "photos/tower"};
  std::set<std::string> ever_held;
  for (const double share : {0.1, 0.34, 0.67, 0.99}) {
    o.held_out = share;
    const TrainingData data = open_training_data(o);
    REQUIRE(data.held_out);
    const auto train = folders_of(*data.train), held = folders_of(*data.held_out);
    CHECK(train.size() + held.size() == 3);
    for (const auto& folder : held) CHECK(!train.contains(folder));
    CHECK(int64_t(held.size()) == std::clamp<int64_t>(std::lround(3 * share), 1, 2));
    for (const auto& folder : ever_held) CHECK(held.contains(folder));  // a larger share adds
    ever_held = held;
  }
}

TEST_CASE("where all photos lie in one folder, photos are held out") {
  const Place place;
  TrainOptions o = place.options();
  o.images = place.folder / "photos/lake";
  o.held_out = 0.3;
  const TrainingData data = open_training_data(o);
  CHECK(data.train->size() == 2);
  CHECK(data.held_out->size() == 1);
}

TEST_CASE("settings that contradict each other are refused in a line") {
  const Place place;
  const auto message = [&](const auto& change) {
    TrainOptions o = place.options();
    change(o);
    return error_of(ErrorId::usage, [&] { open_training_data(o); });
  };
  CHECK(has(message([](TrainOptions& o) { o.images = ""; }),
            "--images, --colmap or --yfcc-raw is required"));
  CHECK(has(message([](TrainOptions& o) {
              o.colmap = {"x", "y"}, o.photos = {"z"};
            }),
            "2 reconstructions (--colmap) and 1 folders"));
  CHECK(has(message([](TrainOptions& o) {
              o.colmap = o.photos = {"x", "y"}, o.depths = {"z"};
            }),
            "--depths is given 1 times, not once for each of the 2 reconstructions"));
  CHECK(has(message([](TrainOptions& o) { o.mix = "homography"; }), "'homography' has no weight"));
  CHECK(has(message([](TrainOptions& o) { o.mix = "homography:-1"; }), "has no weight"));
  CHECK(has(message([](TrainOptions& o) { o.mix = "homography:1x"; }), "has no weight"));
  CHECK(has(message([](TrainOptions& o) { o.mix = "homography:1,colmap:1"; }),
            "there is no source 'colmap' in this run"));
  CHECK(has(message([](TrainOptions& o) { o.mix = "homography:1,homography:1"; }), "comes twice"));
  const auto angle = [&](const char* text) {
    return message([&](TrainOptions& o) {
      o.colmap = {place.folder / "model"}, o.photos = {place.folder / "photos/tower"};
      o.angle = text;
    });
  };
  for (const char* bad : {"", "5", "5:", ":5", "9:5", "5:200", "5:45x", "-1:5"})
    CHECK(has(angle(bad), "not two angles in degrees like 5:45"));
  CHECK(has(message([&](TrainOptions& o) {
              o.images = "";
              o.colmap = {place.folder / "model"}, o.photos = {place.folder / "photos/tower"};
              o.held_out = 0.5;
            }),
            "there is but one scene"));
}

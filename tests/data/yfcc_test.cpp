// YFCC100M's layout: prepared, resumed, damaged in places, and made into pairs.
#include "data/yfcc/pairs.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "data/hdf5.h"
#include "tensor/file.h"
#include "tests/compare.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
namespace fs = std::filesystem;

namespace {

const std::string golden = CAIRN_SOURCE_DIR "/tests/golden/files/yfcc/";

/// A copy of the golden layout, to be damaged.
struct Layout {
  test::Folder folder;
  std::string raw = folder / "raw", pairs = folder / "pairs";
  Layout() { fs::copy(golden + "raw", raw, fs::copy_options::recursive); }
  void write(const std::string& name, std::string_view text) const {
    write_file_atomically(raw + "/" + name, text);
  }
  int64_t files() const {
    int64_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(pairs))
      count += entry.path().extension() == ".npz";
    return count;
  }
};

}  // namespace

TEST_CASE("HDF5: numbers are read in their shape, what is wrong is named") {
  const std::string path = golden + "raw/reichstag/test/calibration/calibration_000001.h5";
  const auto read = [&](const std::string& file, const std::string& name, int64_t most) {
    return read_hdf5(file, {{name, most}})[0];
  };
  CHECK(read(path, "K", 9).shape() == Shape{3, 3});
  const auto both = read_hdf5(path, {{"K", 9}, {"T", 3}});
  CHECK(both[1].shape() == Shape{1, 3});
  CHECK(both[0].to_vector() == read(path, "K", 9).to_vector());
  CHECK(has(error_of(ErrorId::format, [&] { read(path, "Q", 9); }), "has no data set 'Q'"));
  CHECK(has(error_of(ErrorId::format, [&] { read(path, "K", 8); }), "at most 8 make sense"));
  CHECK(has(error_of(ErrorId::io, [&] { read(path + "x", "K", 9); }), "there is no file"));
  // On this one, found by fuzzing, HDF5 1.10.8 ends the process.
  CHECK(error_of(ErrorId::format,
                 [&] { read(CAIRN_SOURCE_DIR "/tests/fuzz/fuzz_hdf5/crash.h5", "K", 9); }) != "");
  const test::Folder folder;
  const auto bytes = read_file(path);
  for (size_t length = 0; length < bytes.size(); length += 499) {
    write_file_atomically(folder / "cut.h5", {bytes.data(), length});
    CHECK(error_of(ErrorId::format, [&] { read(folder / "cut.h5", "K", 9); }) != "");
  }
}

TEST_CASE("pairs are written once; a smaller number is drawn") {
  const Layout layout;
  const auto parts = prepare_yfcc(layout.raw, layout.pairs, {});
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].scene == "reichstag");
  CHECK(parts[0].pairs == 8);
  CHECK(layout.files() == 26);
  // Again: what is there stays as it is, what is missing comes back.
  const std::string kept = layout.pairs + "/reichstag/test_000000_000001.npz";
  const std::string lost = layout.pairs + "/reichstag/test_000000_000002.npz";
  write_file_atomically(kept, std::string_view("left alone"));
  fs::remove(lost);
  prepare_yfcc(layout.raw, layout.pairs, {});
  CHECK(read_file(kept).size() == 10);
  CHECK(fs::exists(lost));

  const Layout few;
  prepare_yfcc(few.raw, few.pairs, {.pairs = 3});
  CHECK(few.files() == 9);
  const Layout none;
  const auto empty = prepare_yfcc(none.raw, none.pairs, {.min_visibility = 1000});
  for (const auto& part : empty) CHECK(has(part.problems.at(0), "gives no pair"));
}

TEST_CASE("files that are missing or damaged are named, the others used") {
  const Layout layout;
  const std::string test = "reichstag/test/";
  layout.write(test + "calibration/calibration_000000.h5", "not HDF5");
  layout.write(test + "visibility/vis_000001.txt", "1\n2\nthree\n4\n");
  fs::remove(layout.raw + "/" + test + "images/00110003_842619994.jpg");
  fs::remove(layout.raw + "/taj_mahal/val/calibration.txt");
  layout.write("taj_mahal/train/images.txt", "images/a.jpg\n");
  const auto parts = prepare_yfcc(layout.raw, layout.pairs, {});
  REQUIRE(parts.size() == 3);
  REQUIRE(parts[0].problems.size() == 4);
  CHECK(has(parts[0].problems[0], "calibration_000000.h5': it is not an HDF5 file, or damaged"));
  CHECK(has(parts[0].problems[1], "there is no photo"));
  CHECK(has(parts[0].problems[2], "'three' is not a number"));
  CHECK(has(parts[0].problems[3], "gives no pair"));
  CHECK(has(parts[1].problems[0], "lists 1 photos, 5 calibrations and 5 visibilities"));
  CHECK(has(parts[2].problems[0], "calibration.txt"));
  CHECK(has(error_of(ErrorId::io, [&] { prepare_yfcc(layout.folder / "no", layout.pairs, {}); }),
            "cannot read the folder"));
  CHECK(
      has(error_of(ErrorId::io, [&] { prepare_yfcc(layout.raw + "/reichstag", layout.pairs, {}); }),
          "holds no <scene>/"));
}

TEST_CASE("correspondences obey the cameras, and keypoints are kept") {
  const Layout layout;
  prepare_yfcc(layout.raw, layout.pairs, {});
  YfccPairsOptions options{.views = {.height = 240, .width = 320, .max_zoom = 1}};
  options.views.photometric = Photometric::none();  // so the views are the whole photos
  const YfccPairs source(layout.raw, layout.pairs, options);
  CHECK(source.size() == 14);
  for (int64_t i = 0; i < 4; ++i) {
    Random random(1, uint64_t(i)), same(1, uint64_t(i));
    const Pair pair = source.get(i, random), again = source.get(i, same);
    CHECK(same_bits(pair.image0, again.image0));
    CHECK(same_bits(pair.positions1, again.positions1));
    CHECK(pair.positions0.dim(0) >= 20);
    char name[40];
    const int64_t of[4][2] = {{0, 1}, {0, 2}, {0, 4}, {1, 0}};
    std::snprintf(name, sizeof name, "train_%06lld_%06lld.npz", (long long)of[i][0],
                  (long long)of[i][1]);
    const NpzArchive file = read_npz(layout.pairs + "/taj_mahal/" + name);
    const auto camera = [&](const char* key) {
      return YfccCalibration::from_tensor(std::get<Tensor>(file.at(key)), name);
    };
    const Tensor residuals =
        epipolar_residuals(camera("calib0"), camera("calib1"), pair.positions0, pair.positions1);
    for (double r : residuals.span<double>())
      CHECK(r < 0.011);  // half a pixel between the photos' and the cameras' origin aside
  }
  const std::string kept = layout.pairs + "/taj_mahal/train-sift/0.npz";
  REQUIRE(fs::exists(kept));
  // Kept keypoints are used, damaged ones computed again.
  Random a(1), b(1);
  const Pair before = source.get(0, a);
  write_file_atomically(kept, std::string_view("damaged"));
  CHECK(same_bits(source.get(0, b).positions0, before.positions0));
  CHECK(read_file(kept).size() > 1000);
}

TEST_CASE("pairs that cannot be used are passed over and named") {
  const Layout layout;
  prepare_yfcc(layout.raw, layout.pairs, {});
  const std::string folder = layout.pairs + "/taj_mahal/";
  write_file_atomically(folder + "train_000000_000001.npz", std::string_view("damaged"));
  fs::rename(folder + "train_000000_000002.npz", folder + "train_000077_000002.npz");
  fs::copy_file(folder + "train_000000_000004.npz", folder + "train_000001_000002.npz");
  const YfccPairs source(layout.raw, layout.pairs);
  for (int64_t i = 0; i < source.size(); ++i) {
    Random random(1);
    source.get(i, random);
  }
  const auto broken = source.broken();
  REQUIRE(broken.size() == 3);
  CHECK(has(broken[0].message, "its name is of no two photos"));
  CHECK(has(broken[1].message, "train_000000_000001.npz': it is not an archive, or damaged"));
  CHECK(has(broken[2].message, "train_000001_000002.npz' is of '"));
  CHECK(has(error_of(ErrorId::io, [&] { YfccPairs(layout.raw, layout.raw); }),
            "has no pairs of the phase 'train'"));
  CHECK(error_of([&] { YfccPairs(layout.raw, layout.pairs, {.phase = "dev"}); }) ==
        "yfcc: there is no phase 'dev'; there is train, val, test");
}

TEST_CASE("a calibration that is none is refused") {
  const NpzArchive file = read_npz(golden + "processed/reichstag/test_000000_000001.npz");
  const Tensor good = std::get<Tensor>(file.at("calib0"));
  CHECK(same_bits(YfccCalibration::from_tensor(good, "x").to_tensor(), good));
  Tensor bad = good.clone();
  bad.data<double>()[4] = NAN;
  CHECK(error_of(ErrorId::format, [&] { YfccCalibration::from_tensor(bad, "x"); }) ==
        "yfcc: 'x': its calibration is not finite");
  CHECK(has(error_of([&] { YfccCalibration::from_tensor(Tensor::zeros({31}, DType::f64), "x"); }),
            "a calibration is 32 numbers"));
}

TEST_CASE("the split's scenes") {
  CHECK(yfcc_scenes("train").size() == 64);
  CHECK(yfcc_scenes("val").size() == 4);
  CHECK(yfcc_scenes("test") == std::vector<std::string>{"buckingham_palace",
                                                        "notre_dame_front_facade", "reichstag",
                                                        "sacre_coeur"});
}

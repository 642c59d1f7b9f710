// Reconstructions: read from either form, damaged ones refused, and made into pairs.
#include "data/colmap/pairs.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "tests/data/reconstruction.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
using cairn::test::Files;
using cairn::test::Scene;

namespace {

void check_equal(const ColmapModel& a, const ColmapModel& b) {
  REQUIRE(a.images.size() == b.images.size());
  CHECK(a.points == b.points);
  for (size_t i = 0; i < a.images.size(); ++i) {
    CHECK(a.images[i].name == b.images[i].name);
    CHECK(a.images[i].rotation == b.images[i].rotation);
    CHECK(a.images[i].translation == b.images[i].translation);
    REQUIRE(a.images[i].observations.size() == b.images[i].observations.size());
    for (size_t k = 0; k < a.images[i].observations.size(); ++k) {
      const Observation &x = a.images[i].observations[k], &y = b.images[i].observations[k];
      CHECK(x.point == y.point);
      CHECK(x.x == y.x);
      CHECK(x.y == y.y);
    }
  }
}

}  // namespace

TEST_CASE("each camera model projects as COLMAP 4.2 does, and back") {
  struct Row {
    const char* model;
    std::vector<double> parameters;
    double x, y;  // of the point (0.4, -0.7, 2), by pycolmap
  };
  const Row rows[] = {
      {"SIMPLE_PINHOLE", {500, 320, 240}, 420.000000000, 65.000000000},
      {"PINHOLE", {500, 510, 320, 240}, 420.000000000, 61.500000000},
      {"SIMPLE_RADIAL", {500, 320, 240, 0.1}, 421.625000000, 62.156250000},
      {"RADIAL", {500, 320, 240, 0.1, -0.02}, 421.572187500, 62.248671875},
      {"OPENCV", {500, 510, 320, 240, 0.1, -0.02, 0.003, -0.002}, 421.119687500, 59.459920313},
      {"OPENCV_FISHEYE",
       {500, 510, 320, 240, 0.1, -0.02, 0.003, -0.002},
       416.412569911,
       67.903562709},
      {"FULL_OPENCV",
       {500, 510, 320, 240, 0.1, -0.02, 0.003, -0.002, 0.01, 0.05, -0.01, 0.002},
       420.330861881,
       60.867974043},
      {"FOV", {500, 510, 320, 240, 0.8}, 421.868261983, 58.165152361},
      {"SIMPLE_RADIAL_FISHEYE", {500, 320, 240, 0.1}, 416.452743573, 71.207698747},
      {"RADIAL_FISHEYE", {500, 320, 240, 0.1, -0.02}, 416.411755525, 71.279427832},
      {"THIN_PRISM_FISHEYE",
       {500, 510, 320, 240, 0.1, -0.02, 0.003, -0.002, 0.01, 0.005, 0.001, -0.002},
       416.079530324,
       68.441875022},
  };
  CHECK(std::size(rows) == camera_models().size());
  for (const Row& row : rows) {
    CAPTURE(row.model);
    const auto model = std::ranges::find(camera_models(), row.model, &CameraModel::name);
    REQUIRE(model != camera_models().end());
    CHECK(int(row.parameters.size()) == model->parameters);
    const Camera camera{&*model, 640, 480, row.parameters};
    const auto [x, y] = project(camera, {0.4, -0.7, 2});
    CHECK(std::fabs(x - row.x) <= 1e-6);
    CHECK(std::fabs(y - row.y) <= 1e-6);
    for (const auto& [px, py] : {std::pair(320.0, 240.0), {10.0, 20.0}, {600.0, 300.0}}) {
      const auto ray = unproject(camera, px, py);
      const auto back = project(camera, ray);
      CHECK(std::hypot(back[0] - px, back[1] - py) <= 1e-5);
    }
    CHECK(std::isnan(project(camera, {0.4, -0.7, -2})[0]));
    CHECK(std::isnan(project(camera, {0.4, -0.7, 0})[0]));
  }
}

TEST_CASE("the binary and the text form of a reconstruction are the same one") {
  const Scene scene;
  const ColmapModel model = scene.binary().parse(true);
  check_equal(model, scene.text().parse(false));
  REQUIRE(model.images.size() == 4);
  CHECK(model.images[2].name == "photo2.png");
  CHECK(model.images[0].observations.size() == 80);
  for (const PosedImage& image : model.images)
    for (const Observation& o : image.observations)
      CHECK(reprojection_error(model, image, o) <= 1e-9);
  // Cameras look at the origin from a distance of 4.
  for (size_t i = 0; i < 4; ++i) {
    const auto c = camera_center(model.images[i]);
    CHECK(std::sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]) == doctest::Approx(4));
    CHECK(to_camera(model.images[i], {0, 0, 0})[2] == doctest::Approx(4));
  }
}

TEST_CASE("a point that a photo sees twice is not used there") {
  const Scene scene;
  Files f = scene.text();
  const size_t line = f.bytes[1].find("5 6 -1");
  f.bytes[1].replace(line, 6, "5 6 999");
  const ColmapModel model = f.parse(false);
  CHECK(model.images[0].observations.size() == 79);
  CHECK(model.images[1].observations.size() == 80);
}

TEST_CASE("a folder is read, the binary files first") {
  const test::Folder folder;
  const Scene scene;
  CHECK(error_of(ErrorId::io, [&] {
          read_colmap_model(folder.path);
        }).find("neither cameras.bin nor cameras.txt") != std::string::npos);
  scene.text().write(folder.path, ".txt");
  CHECK(read_colmap_model(folder.path).images.size() == 4);
  write_file_atomically(folder / "cameras.bin", std::string_view("abc"));
  CHECK(error_of(ErrorId::io, [&] { read_colmap_model(folder.path); }).find("images.bin") !=
        std::string::npos);
  scene.binary().write(folder.path, ".bin");
  CHECK(read_colmap_model(folder.path).images.size() == 4);
}

TEST_CASE("a reconstruction that ends anywhere too early is refused") {
  const Scene scene;
  const Files whole = scene.binary();
  for (size_t file = 0; file < 3; ++file)
    for (size_t length = 0; length < whole.bytes[file].size(); length += length < 600 ? 1 : 97) {
      CAPTURE(file);
      CAPTURE(length);
      Files cut = whole;
      cut.bytes[file].resize(length);
      CHECK(error_of(ErrorId::format, [&] { cut.parse(true); }) != "");
    }
}

TEST_CASE("what a reconstruction cannot mean is named") {
  const Scene scene;
  const Files good = scene.text();
  const auto message = [&](size_t file, const std::string& old, const std::string& now) {
    Files f = good;
    const size_t at = f.bytes[file].find(old);
    REQUIRE(at != std::string::npos);
    f.bytes[file].replace(at, old.size(), now);
    return error_of(ErrorId::format, [&] { f.parse(false); });
  };
  CHECK(message(0, "SIMPLE_PINHOLE", "PINHOLES") ==
        "colmap: cameras: line 3: there is no camera model 'PINHOLES'");
  CHECK(message(0, "200 200 200", "200 200 0") ==
        "colmap: cameras: camera 7: a focal length is not positive");
  CHECK(message(0, "200 200 200", "200 200 nan") ==
        "colmap: cameras: camera 7: a parameter is not finite");
  CHECK(message(0, "200 200", "-1 200") == "colmap: cameras: camera 7: it is -1 x 200 pixels");
  CHECK(message(0, "7 S", "x S") == "colmap: cameras: line 3: 'x' is not a number of its kind");
  CHECK(message(1, "0 0 4 7 photo0", "0 0 4 8 photo0") ==
        "colmap: images: image 1: there is no camera 8");
  CHECK(message(1, "0 0 4 7 photo0", "0 inf 4 7 photo0") ==
        "colmap: images: image 1: its position is not finite");
  CHECK(message(1, "1 1 0 0 0", "1 0 0 0 0") == "colmap: images: image 1: its rotation is none");
  CHECK(message(1, "5 6 -1", "5 6 12") ==
        "colmap: images: 'photo0.png' sees point 12, which points3D does not have");
  CHECK(message(1, "5 6 -1", "5 6").find("is not a number") != std::string::npos);
  CHECK(message(2, "1000 ", "999 ") == "colmap: points3D: point 999: it comes twice");

  Files huge = scene.binary();
  const auto count = uint64_t(1) << 60;
  std::memcpy(huge.bytes[2].data(), &count, sizeof count);
  CHECK(error_of(ErrorId::format, [&] { huge.parse(true); }) ==
        cat("colmap: points3D: it says ", count, " entries, more than it can hold"));
}

TEST_CASE("photos are pairs if they share points under an angle within the limits") {
  const ColmapModel model = Scene().binary().parse(true);
  const auto pairs = find_colmap_pairs(model, {.min_angle = 15, .max_angle = 45});
  REQUIRE(pairs.size() == 2);  // 10 and 80 degrees are out, as are 50 and 70
  CHECK(pairs[0].image0 == 0);
  CHECK(pairs[0].image1 == 2);
  CHECK(pairs[0].shared == 80);
  CHECK(pairs[0].angle == doctest::Approx(30).epsilon(0.1));
  CHECK(pairs[1].image0 == 1);
  CHECK(pairs[1].image1 == 2);
  CHECK(find_colmap_pairs(model, {.min_shared = 81}).empty());
  CHECK(find_colmap_pairs(model, {.min_angle = 0, .max_angle = 180}).size() == 6);
}

TEST_CASE("correspondences lie where both photos show the point") {
  const test::Folder folder;
  const Scene scene;
  scene.binary().write(folder.path, ".bin");
  for (const int64_t factor : {1, 2}) {  // photos may be larger than the reconstruction's
    scene.write_photos(folder.path, factor);
    ColmapPairsOptions options{.views = {.height = 96, .width = 120, .max_zoom = 1.01},
                               .min_angle = 1};
    options.views.photometric = Photometric::none();
    const ColmapPairs source(folder.path, folder.path, options);
    CHECK(source.size() == 3);
    CHECK(source.broken().empty());
    for (int64_t i = 0; i < source.size(); ++i) {
      Random random(1, uint64_t(i)), same(1, uint64_t(i));
      const Pair pair = source.get(i, random), again = source.get(i, same);
      CHECK(pair.image0.to_vector() == again.image0.to_vector());
      CHECK(pair.positions1.to_vector() == again.positions1.to_vector());
      CHECK(pair.image0.shape() == Shape{96, 120, 1});
      REQUIRE(pair.positions0.dim(0) >= 5);
      REQUIRE(pair.positions0.shape() == pair.positions1.shape());
      for (const auto& [image, positions, unknown] :
           {std::tuple(&pair.image0, &pair.positions0, &pair.unknown0),
            std::tuple(&pair.image1, &pair.positions1, &pair.unknown1)}) {
        int64_t known = 0;
        double right = 0, down = 0;  // how much brighter it is there than on the other side
        for (uint8_t u : unknown->span<uint8_t>()) known += u == 0;
        CHECK(known <= positions->dim(0));
        CHECK(known >= positions->dim(0) * 9 / 10);
        for (int64_t k = 0; k < positions->dim(0); ++k) {
          const double x = positions->data<double>()[2 * k],
                       y = positions->data<double>()[2 * k + 1];
          const int64_t pixel = std::lround(y) * 120 + std::lround(x);
          CHECK(image->data<float>()[pixel] >= 0.2);  // white is 0.5, black -0.5
          if (x < 1 || y < 1 || x > 118 || y > 94) continue;
          const float* at = image->data<float>() + pixel;
          right += at[1] - at[-1] - 0.44 * (x - std::lround(x));  // 0.44: the dot's slope
          down += at[120] - at[-120] - 0.44 * (y - std::lround(y));
          CHECK(unknown->data<uint8_t>()[pixel] == 0);
        }
        // Were all half a pixel off, it would be 0.2.
        CHECK(std::fabs(right) <= 0.1 * double(positions->dim(0)));
        CHECK(std::fabs(down) <= 0.1 * double(positions->dim(0)));
      }
    }
  }
}

TEST_CASE("photos that are absent or of another shape are named, the others are used") {
  const test::Folder folder;
  const Scene scene;
  scene.binary().write(folder.path, ".bin");
  const ColmapPairsOptions options{
      .views = {.height = 64, .width = 64}, .min_angle = 1, .max_angle = 180};
  CHECK(error_of(ErrorId::io, [&] {
          ColmapPairs(folder.path, folder.path, options);
        }).find("of no pair can both photos be read") != std::string::npos);
  CHECK(error_of(ErrorId::io, [&] {
          ColmapPairs(folder.path, folder / "none", options);
        }).find("there is no folder of photos") != std::string::npos);
  CHECK(error_of(ErrorId::io, [&] {
          ColmapPairs(folder.path, folder.path, {.min_shared = 500});
        }).find("none of its 4 photos are a pair") != std::string::npos);
  scene.write_photos(folder.path);
  std::filesystem::remove(folder / "photo0.png");
  write_png(folder / "photo3.png", Tensor::zeros({200, 100, 1}, DType::u8));
  const ColmapPairs source(folder.path, folder.path, options);
  for (int64_t i = 0; i < source.size(); ++i) {
    Random random(1, uint64_t(i));
    const std::string name = source.get(i, random).name;
    CHECK(name.find("photo0") == std::string::npos);
    CHECK(name.find("photo3") == std::string::npos);
  }
  const auto broken = source.broken();
  REQUIRE(broken.size() == 2);
  CHECK(broken[0].message.find("No such file") != std::string::npos);
  CHECK(broken[1].message.find("has 100 x 200 pixels, not 200 x 200 or in proportion") !=
        std::string::npos);
}

// Depth maps: read from either form, and followed from one photo to the other unless something is
// in the way.
#include "data/colmap/depth.h"

#include <doctest/doctest.h>
#include <hdf5.h>

#include <cmath>
#include <filesystem>

#include "data/colmap/pairs.h"
#include "tensor/file.h"
#include "tests/data/reconstruction.h"
#include "tests/errors.h"
#include "tests/folder.h"

using namespace cairn;
using cairn::test::Scene;
using cairn::test::side;

namespace {

std::string colmap_form(const Tensor& depth) {
  return cat(depth.dim(1), "&", depth.dim(0), "&1&") +
         std::string(static_cast<const char*>(depth.raw()), size_t(depth.nbytes()));
}

void write_h5(const std::string& path, const Tensor& depth) {
  const hsize_t size[] = {hsize_t(depth.dim(0)), hsize_t(depth.dim(1))};
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(2, size, nullptr);
  const hid_t set =
      H5Dcreate2(file, "depth", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, depth.raw());
  H5Dclose(set);
  H5Sclose(space);
  H5Fclose(file);
}

}  // namespace

TEST_CASE("depth maps of COLMAP and of MegaDepth are the same numbers") {
  const test::Folder folder;
  std::filesystem::create_directory(folder / "sub");
  const Tensor depth = Tensor::from({2, 3}, std::vector<float>{1, 2, 3, 0, 5, 6});
  write_file_atomically(folder / "sub/a.jpg.photometric.bin", std::string_view("3&2&1&"));
  write_file_atomically(folder / "sub/a.jpg.geometric.bin", std::string_view(colmap_form(depth)));
  write_h5(folder / "b.h5", depth);
  CHECK(find_depth_map(folder.path, "sub/a.jpg") == folder / "sub/a.jpg.geometric.bin");
  CHECK(find_depth_map(folder.path, "b.JPG") == folder / "b.h5");
  CHECK(find_depth_map(folder.path, "c.jpg") == "");
  for (const char* name : {"sub/a.jpg", "b.jpg"}) {
    const Tensor read = read_depth_map(find_depth_map(folder.path, name));
    CHECK(read.shape() == depth.shape());
    CHECK(read.to_vector() == depth.to_vector());
  }
}

TEST_CASE("a depth map that is damaged is refused") {
  const Tensor depth = Tensor::full({4, 5}, 2.f);
  const std::string whole = colmap_form(depth);
  const auto message = [](const std::string& text) {
    return error_of(ErrorId::format, [&] {
      parse_depth_map({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "d");
    });
  };
  for (size_t length = 0; length < whole.size(); ++length)
    CHECK(message(whole.substr(0, length)) != "");
  CHECK(message("5&4&1") == "depth: d: it is no depth map of COLMAP's");
  CHECK(message("5&4&3&") == "depth: d: it says that it is 5 x 4 x 3");
  CHECK(has(message(cat(int64_t{1} << 60, "&16&1&")), "it says that it is 1152921504606846976"));
  CHECK(message("5&4&1&1234") == "depth: d: it has 4 bytes of depths, not 80");
  const test::Folder folder;
  write_file_atomically(folder / "x.h5", std::string_view("not HDF5"));
  CHECK(has(error_of(ErrorId::format, [&] { read_depth_map(folder / "x.h5"); }), "x.h5"));
  CHECK(error_of(ErrorId::io, [&] { read_depth_map(folder / "y.bin"); }) != "");
}

TEST_CASE("pixels are followed to where the other camera sees the same, and only there") {
  const Scene scene;
  const ColmapModel model = scene.binary().parse(true);
  const Tensor depth0 = scene.depth(model, 0, side, side);
  const Tensor depth1 = scene.depth(model, 2, 300, 300);  // 30 degrees away; a map of another size
  const Camera& camera = model.cameras.begin()->second;
  const DepthView view0{&camera, &model.images[0], &depth0},
      view1{&camera, &model.images[2], &depth1};
  const auto eye0 = camera_center(model.images[0]), eye1 = camera_center(model.images[2]);
  int64_t seen = 0, found = 0, hidden = 0;
  for (double y = 0.5; y < side; y += 1.7)
    for (double x = 0.5; x < side; x += 1.7) {
      const auto ray = to_world(model.images[0], unproject(camera, x, y));
      const double t = Scene::wall(eye0, ray);
      std::array<double, 3> point;
      for (size_t i = 0; i < 3; ++i) point[i] = eye0[i] + t * (ray[i] - eye0[i]);
      const Point there = project(camera, to_camera(model.images[2], point));
      const bool in_the_way = Scene::wall(eye1, point) < 0.999;
      const bool inside = there[0] > 0 && there[1] > 0 && there[0] < side && there[1] < side;
      const auto followed = follow_depth(view0, view1, {x, y}, 1);
      if (!inside || in_the_way) {
        hidden += inside;
        CHECK(!followed);
        continue;
      }
      ++seen;
      if (!followed) continue;
      ++found;
      CHECK(std::hypot((*followed)[0] - there[0], (*followed)[1] - there[1]) <= 1e-3);
    }
  CHECK(hidden > 500);
  CHECK(double(found) >= 0.93 * double(seen));  // all but the outlines
}

TEST_CASE("where depth is not known, nothing is followed") {
  const Scene scene;
  const ColmapModel model = scene.binary().parse(true);
  Tensor depth = scene.depth(model, 0, side, side);
  const Camera& camera = model.cameras.begin()->second;
  const DepthView view{&camera, &model.images[0], &depth};
  CHECK(follow_depth(view, view, {150.5, 20.5}, 1));
  CHECK(!follow_depth(view, view, {-3, 20.5}, 1));
  CHECK(!follow_depth(view, view, {std::nan(""), 20.5}, 1));
  for (const float bad : {0.f, -1.f, float(NAN), float(INFINITY)}) {
    depth.data<float>()[20 * side + 150] = bad;
    CHECK(!follow_depth(view, view, {150.5, 20.5}, 1));
    CHECK(!follow_depth(view, view, {151.2, 20.5}, 1));
    CHECK(follow_depth(view, view, {153.5, 20.5}, 1));
  }
}

TEST_CASE("pairs with depth maps have correspondences everywhere") {
  const test::Folder folder;
  const Scene scene;
  const ColmapModel model = scene.binary().parse(true);
  scene.binary().write(folder.path, ".bin");
  scene.write_photos(folder.path, 2);
  ColmapPairsOptions options{.views = {.height = 96, .width = 120, .max_zoom = 2},
                             .depths = folder / "maps",
                             .min_angle = 1};
  std::filesystem::create_directory(options.depths);
  CHECK(has(error_of(ErrorId::io, [&] { ColmapPairs(folder.path, folder.path, options); }),
            "holds no depth map of these photos"));
  for (size_t i = 0; i < 3; ++i)
    write_file_atomically(options.depths + "/" + Scene::name(i) + ".geometric.bin",
                          std::string_view(colmap_form(scene.depth(model, i, 250, 250))));
  const ColmapPairs source(folder.path, folder.path, options);
  CHECK(has(source.description(), "3 of 4 with depth maps"));
  Random random(5);
  const Pair pair = source.get(1, random);  // 0 and 2
  CHECK(pair.angle == doctest::Approx(30).epsilon(0.1));
  CHECK(pair.positions0.dim(0) == 4096);
  for (const Tensor* mask : {&pair.unknown0, &pair.unknown1}) {
    int64_t unknown = 0;
    for (uint8_t u : mask->span<uint8_t>()) unknown += u;
    CHECK(96 * 120 - unknown >= 4096);
    CHECK(unknown > 96);
  }
  // A map that is damaged leaves the points, and is named.
  write_file_atomically(options.depths + "/" + Scene::name(2) + ".geometric.bin",
                        std::string_view("250&250&1&"));
  const ColmapPairs damaged(folder.path, folder.path, options);
  CHECK(damaged.get(1, random).positions0.dim(0) <= 80);
  REQUIRE(damaged.broken().size() == 1);
  CHECK(has(damaged.broken()[0].message, "it has 0 bytes of depths, not 250000"));
}

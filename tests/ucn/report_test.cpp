// The report's data and features; what the page does with them is tests/browser's.
#include "ucn/report.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/file.h"
#include "tests/folder.h"
#include "tests/ucn/some_photos.h"
#include "ucn/folder_store.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

namespace {

PreparedPhoto prepared(const Tensor& dense, int64_t height, int64_t width,
                       const Homography& to_photo) {
  PreparedPhoto p;
  p.photo.pixels = Tensor::full({height, width, 1}, 1, DType::u8);
  p.views.push_back({{dense, {}, {}}, to_photo});
  return p;
}

double cosine(const FeatureGrid& a, int64_t k, const FeatureGrid& b, int64_t j) {
  double sum = 0;
  for (int64_t c = 0; c < a.channels; ++c)
    sum += double(a.values[size_t(k * a.channels + c)]) * b.values[size_t(j * b.channels + c)];
  return sum / (127 * 127);
}

}  // namespace

TEST_CASE(
    "a grid of features covers the photo, keeps cosines, and is empty where nothing was seen") {
  Random random(1);
  const Tensor dense = l2_normalize(Var(random_normal({40, 80, 16}, random))).value();
  // The second photo was seen through a window on its right half alone.
  const auto p0 = prepared(dense, 40, 80, identity_homography());
  const auto p1 = prepared(dense, 40, 160, translation(80, 0));
  const std::vector coarse = {coarse_features(p0, p0.views[0], 16),
                              coarse_features(p1, p1.views[0], 16)};
  const auto grids = feature_grids(coarse, 16);
  REQUIRE(grids.size() == 2);
  CHECK(grids[0].rows == 8);
  CHECK(grids[0].columns == 16);
  CHECK(grids[1].rows == 4);
  CHECK(grids[1].columns == 16);
  CHECK(grids[0].channels == 16);
  CHECK(grids[0].values.size() == 8 * 16 * 16);
  for (int64_t k = 0; k < 8 * 16; ++k) CHECK(std::abs(cosine(grids[0], k, grids[0], k) - 1) < 0.03);
  for (int64_t y = 0; y < 4; ++y)
    for (int64_t x = 0; x < 16; ++x)
      CHECK(cosine(grids[1], y * 16 + x, grids[1], y * 16 + x) ==
            doctest::Approx(x >= 8).epsilon(0.03));
  // With all directions kept, cosines between cells are those of the features there.
  const auto at = [&](int64_t k) {
    const int64_t x = k % 16 * 5 + 2,
                  y = k / 16 * 5 + 2;  // a cell of 5 px has its centre on a pixel
    return dense.data<float>() + (y * 80 + x) * 16;
  };
  for (int64_t k = 0; k < 20; ++k) {
    double sum = 0;
    for (int64_t c = 0; c < 16; ++c) sum += double(at(k)[c]) * at(50)[c];
    CHECK(std::abs(cosine(grids[0], k, grids[0], 50) - sum) < 0.03);
  }
  CHECK(!coarse_features(p0, PhotoView{}, 16).defined());
  const auto with_none = feature_grids(std::vector{Tensor(), coarse[1]}, 4);
  CHECK(with_none[0].rows == 0);
  CHECK(with_none[1].channels == 4);
}

TEST_CASE("coarse features that were kept are those of the same photo, turned the same way") {
  Folder folder;
  const FeatureCache cache(folder.path, folder.path, "settings");
  Random random(2);
  StoredFeatures f;
  f.keypoints = Tensor::zeros({0, 2}, DType::f64);
  f.views = {{{{}, f.keypoints, Tensor::zeros({0, 8}), {}, 60}, identity_homography()}};
  f.stamp = "stamp";
  f.orientation = 6;
  f.coarse = random_normal({3, 4, 8}, random).to(DType::f16);
  cache.write("a.jpg", f);
  const std::string path = cache.path("a.jpg");
  CHECK(FeatureCache::coarse(path, "stamp", 6).to_vector() == f.coarse.to(DType::f32).to_vector());
  CHECK(!FeatureCache::coarse(path, "other", 6).defined());
  CHECK(!FeatureCache::coarse(path, "stamp", 1).defined());
  CHECK(!FeatureCache::coarse(cache.path("b.jpg"), "stamp", 6).defined());
  auto bytes = read_file(path);
  bytes.resize(bytes.size() / 2);
  write_file_atomically(path, bytes);
  CHECK(!FeatureCache::coarse(path, "stamp", 6).defined());
}

TEST_CASE("the page holds all it needs, and nothing in its data can end its script") {
  Report r;
  const Image image = oriented(some_photo(40, 60, 1), 1);
  r.photos = {report_photo("</script><script>alert(1)", image, 30), report_photo("b", image)};
  CHECK(r.photos[0].width == 60);  // matches stay in the photo's own pixels
  CHECK(r.photos[0].jpeg.size() < r.photos[1].jpeg.size());
  ReportPair& pair = r.pairs.emplace_back();
  pair.photo1 = 1;
  pair.matches = {{1.23456, 2, 3, 4, 0.87654, 1, -1, -1}};
  pair.inlier = {1};
  r.about = {{"command", "match"}};
  const std::string page = to_html(r);
  CHECK(page.find("alert(1)") != std::string::npos);
  CHECK(page.find("</script><script>alert") == std::string::npos);
  CHECK(page.find("[1.2,2.0,3.0,4.0,0.877,0.0,1]") != std::string::npos);
  for (const char* place : {"@CSS@", "@JS@", "@DATA@", "http:", "https:"})
    CHECK(page.find(place) == std::string::npos);
  // What filters removed comes after the matches, with the filter's number.
  CHECK(page.find("\"filters\":[]") != std::string::npos);
  pair.filters = {
      {"ratio", 7, {{9, 8, 7, 6, 0.5, 1, -1, -1}, {5, 4, 3, 2, 0.25, 1, -1, -1}}, {1, 0}}};
  const std::string more = to_html(r);
  CHECK(more.find("[9.0,8.0,7.0,6.0,0.5,0.0,1,1],[5.0,4.0,3.0,2.0,0.25,0.0,0,1]") !=
        std::string::npos);
  CHECK(more.find("\"filters\":[[\"ratio\",7]]") != std::string::npos);
  pair.filters[0].agrees.pop_back();
  CHECK_THROWS_AS(to_html(r), Error);
  pair.filters.clear();
  pair.inlier = {1, 0};
  CHECK_THROWS_AS(to_html(r), Error);
  pair.inlier = {1};
  pair.photo1 = 2;
  CHECK_THROWS_AS(to_html(r), Error);
  CHECK_THROWS_AS(to_html(Report{}), Error);
}

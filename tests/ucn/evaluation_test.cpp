// The numbers of bin/eval, on cases whose answers are known.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "data/image.h"
#include "tensor/file.h"
#include "tests/errors.h"
#include "tests/folder.h"
#include "ucn/evaluation/dataset.h"
#include "ucn/evaluation/metrics.h"
#include "ucn/match_files.h"

using namespace cairn;
using namespace cairn::test;
using namespace cairn::ucn;

TEST_CASE("matching accuracy is the share within each distance") {
  const std::vector<PointPair> matches = {{0, 0, 5, 0}, {10, 0, 15, 2.5}, {3, 4, 8, 24}};
  const auto share = matching_accuracy(matches, translation(5, 0));
  CHECK(share[0] == doctest::Approx(1.0 / 3));
  CHECK(share[1] == doctest::Approx(1.0 / 3));
  CHECK(share[2] == doctest::Approx(2.0 / 3));
  CHECK(share[9] == doctest::Approx(2.0 / 3));
  CHECK(matching_accuracy({}, translation(5, 0))[9] == 0);
}

TEST_CASE("errors of homographies and poses") {
  CHECK(corner_error(translation(3, 4), identity_homography(), 100, 50) == doctest::Approx(5));
  CHECK(corner_error({1, 0, 0, 0, 1, 0, 0, 0, 0}, identity_homography(), 9, 9) == INFINITY);
  const double angle = 0.2;
  RelativePose turned{
      {std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0, 0, 0, 1},
      {1, 0, 0}};
  RelativePose truth;
  truth.translation = {-3, 0, 0};  // its length and sign do not count
  CHECK(pose_error(turned, truth) == doctest::Approx(angle * 180 / M_PI));
  truth.translation = {0, 2, 0};
  CHECK(pose_error(turned, truth) == doctest::Approx(90));
}

TEST_CASE("the area under the curve is that of the trapezoids") {
  CHECK(area_under_curve({0, 0}, 5) == doctest::Approx(1));
  CHECK(area_under_curve({6, INFINITY}, 5) == 0);
  CHECK(area_under_curve({}, 5) == 0);
  // (0, 0) to (1, 1/2) to (3, 1), level to 5: 1/4 + 3/2 + 2.
  CHECK(area_under_curve({3, 1}, 5) == doctest::Approx(3.75 / 5));
  // A half that fails: (0, 0) to (1, 1/2), level to 5.
  CHECK(area_under_curve({1, INFINITY}, 5) == doctest::Approx((0.25 + 2) / 5));
}

TEST_CASE("the interval of a mean is about two standard errors wide on each side") {
  std::vector<double> values(400);
  for (size_t k = 0; k < values.size(); ++k) values[k] = k % 2 == 0 ? 1 : -1;
  const auto mean = [&](std::span<const int64_t> drawn) {
    double sum = 0;
    for (const int64_t d : drawn) sum += values[size_t(d)];
    return sum / double(drawn.size());
  };
  const auto [low, high] = bootstrap(400, 1000, mean);
  CHECK(std::abs(low + 1.96 / 20) < 0.02);
  CHECK(std::abs(high - 1.96 / 20) < 0.02);
  CHECK(bootstrap(400, 1000, mean)[0] == low);
}

TEST_CASE("pairs are read from lists, SuperGlue's lists, and HPatches' folders") {
  const Folder folder;
  const std::string pose =
      "100 0 50 0 110 40 0 0 1 100 0 50 0 110 40 0 0 1 1 0 0 7 0 1 0 8 0 0 1 9 0 0 0 1\n";
  write_file_atomically(folder / "pairs.txt",
                        "# a comment\na/x.png b/y.png 1 0 2 0 1 3 0 0 1\n"
                        "a.png b.png " +
                            pose + "a.png b.png 1 0 " + pose);
  const auto sets = find_known_pairs(folder / "pairs.txt");
  REQUIRE(sets.size() == 1);
  REQUIRE(sets[0].pairs.size() == 3);
  const KnownPair& first = sets[0].pairs[0];
  CHECK(first.name == "a-x_b-y");
  CHECK(first.photo1 == folder / "b/y.png");
  CHECK((*first.homography)[5] == 3);
  const KnownPair& second = sets[0].pairs[1];
  CHECK(second.pose->cameras[1].cy == 40);
  CHECK(second.pose->pose.translation[2] == 9);
  CHECK(sets[0].pairs[2].rotation0 == 1);
  for (const char* bad : {"a.png\n", "a.png b.png 1 2 3\n", "a.png b.png 1 0 2 0 1 3 0 0 nan\n",
                          "a.png b.png 1 0 2 0 1 3 0 0 one\n", "# nothing\n"}) {
    write_file_atomically(folder / "bad.txt", std::string_view(bad));
    CHECK(has(error_of(ErrorId::format, [&] { find_known_pairs(folder / "bad.txt"); }), "bad.txt"));
  }

  const std::string sequence = folder / "hpatches/i_light";
  std::filesystem::create_directories(sequence);
  for (const char* name : {"/1.ppm", "/2.ppm"})
    write_file_atomically(sequence + name, std::string_view("P6\n1 1\n255\nabc"));
  write_file_atomically(sequence + "/H_1_2", std::string_view("1 0 0 \n 0 1 0\n0  0 1\n"));
  const auto found = find_known_pairs(folder / "hpatches");
  REQUIRE(found.size() == 1);
  REQUIRE(found[0].pairs.size() == 1);
  CHECK(found[0].pairs[0].name == "i_light-1_i_light-2");
  CHECK(found[0].pairs[0].illumination);
  CHECK(read_image(found[0].pairs[0].photo0).pixels.dim(2) == 3);
  write_file_atomically(sequence + "/H_1_3", std::string_view("1 0 0 0 1 0 0 0 1"));
  CHECK(has(error_of(ErrorId::format, [&] { find_known_pairs(folder / "hpatches"); }),
            "not both photos"));
}

TEST_CASE("match files come back as they were written, and damaged ones are refused") {
  const Folder folder;
  MatchFile file;
  file.photo0 = {"a \"1\".png", 100, 50, {{1, 2}, {3, 4}, {5, 6}}};
  file.photo1 = {"b.png", 90, 60, {{7, 8}, {9.5, 10}}};
  file.matches = {{5, 6, 7, 8}, {1, 2, 9.5, 10}};
  file.scores = {0.75, 0.5};
  file.numbers = {{2, 0}, {0, 1}};
  for (const char* name : {"m.npz", "m.csv"}) {
    write_matches(folder / name, file);
    const MatchFile read = read_matches(folder / name);
    REQUIRE(read.matches.size() == 2);
    double sum = 0;
    for (size_t k = 0; k < 2; ++k) sum += read.scores[k] * read.matches[k].x1;
    CHECK(sum == doctest::Approx(0.75 * 7 + 0.5 * 9.5));
  }
  write_matches(folder / "m.json", file);
  write_matches(folder / "m.yml", file);
  CHECK(has(error_of(ErrorId::usage, [&] { write_matches(folder / "m.txt", file); }), ".npz"));
  for (const char* bad : {"x0,y0\n1,2\n3,4\n", "1,2,3,inf,1\n", "a\nb\n"}) {
    write_file_atomically(folder / "bad.csv", std::string_view(bad));
    CHECK(has(error_of(ErrorId::format, [&] { read_matches(folder / "bad.csv"); }), "bad.csv"));
  }
}

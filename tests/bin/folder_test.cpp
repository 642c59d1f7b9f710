// match --folder, as a person with many photos, a cluster, and accidents would use it.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/hdf5.h"
#include "data/image.h"
#include "data/sqlite.h"
#include "tests/bin/command.h"
#include "tests/ucn/some_photos.h"
#include "ucn/folder_matcher.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::test;

namespace {

/// A folder with photos/ of five views of one picture, one of them in a folder below, and weights.
struct Photos {
  Folder folder;
  static constexpr int count = 5;
  Photos() {
    std::filesystem::create_directories(folder / "photos/below");
    const Tensor picture = some_photo(120, 160, 1);  // moved by the network's stride, or a multiple
    for (int k = 0; k < count; ++k) {
      Tensor view = Tensor::empty({64, 90, 1}, DType::u8);
      for (int64_t y = 0; y < 64; ++y)
        for (int64_t x = 0; x < 90; ++x)
          view.data<uint8_t>()[y * 90 + x] =
              picture.data<uint8_t>()[(y + 8 * k) * 160 + x + 16 * k];
      write_png(folder / (k == 0 ? "photos/below/0.png" : cat("photos/", k, ".png")), view);
    }
    Random random(3);
    ucn::save_weights(folder / "weights.safetensors", ucn::ResUNet({.outputs = 16}, random));
  }
  std::string line(const std::string& arguments) const {
    return "cd '" + folder.path.string() +
           "'; exec match --weights weights.safetensors --keypoints corners --max-keypoints 300 "
           "--folder photos --out out " +
           arguments;
  }
  Finished match(const std::string& arguments) const { return run(line(arguments)); }
};

std::string only_pairs(const ucn::FolderResults& r) {
  std::ostringstream text;
  for (const auto& [names, pair] : r.pairs) {
    text << names.first << ' ' << names.second << ' ' << pair.geometry.inliers;
    for (const auto& m : pair.matches) text << ' ' << m[0] << '-' << m[1];
    text << '\n';
  }
  return std::move(text).str();
}

}  // namespace

TEST_CASE("a folder gives a table, a COLMAP database and hloc's files that agree") {
  const Photos p;
  const Finished r = p.match("--support 0 --export csv,colmap,hloc,text --single-camera");
  CAPTURE(r.err);
  REQUIRE(r.code == 0);
  CHECK(r.err == "");
  const ucn::FolderResults results = ucn::read_results(p.folder / "out");
  REQUIRE(results.pairs.size() == 10);
  CHECK(results.photos.size() == 5);
  const auto& pair = results.pairs.at({"1.png", "2.png"});
  CHECK(pair.matches.size() > 20);
  // Views moved by (16, 8): keypoints of a photo are the same in all its pairs.
  int64_t right = 0;
  for (const auto& [a, b] : pair.matches) {
    const Point &u = results.photos.at("1.png").keypoints[size_t(a)],
                &v = results.photos.at("2.png").keypoints[size_t(b)];
    right += std::abs(u[0] - 16 - v[0]) < 1 && std::abs(u[1] - 8 - v[1]) < 1;
  }
  CHECK(double(right) > 0.5 * double(pair.matches.size()));

  std::istringstream csv(contents(p.folder / "out/pairs.csv"));
  std::string row;
  std::getline(csv, row);
  CHECK(row == "photo0,photo1,matches,inliers,same_scene");
  int rows = 0;
  while (std::getline(csv, row)) ++rows;
  CHECK(rows == 10);

  Database database(p.folder / "out/database.db", Database::Mode::read);
  CHECK(database.integer("SELECT count(*) FROM images") == 5);
  CHECK(database.integer("SELECT count(*) FROM cameras") == 1);
  CHECK(database.integer("SELECT count(*) FROM two_view_geometries WHERE config = 3") == 10);
  Statement keypoints(
      database, "SELECT data FROM keypoints JOIN images USING (image_id) WHERE name = '1.png'");
  REQUIRE(keypoints.step());
  const auto stored = keypoints.blob<std::array<float, 2>>(0);
  const auto& ours = results.photos.at("1.png").keypoints;
  REQUIRE(stored.size() == ours.size());
  CHECK(stored[3][0] == doctest::Approx(ours[3][0] + 0.5));
  CHECK(stored[3][1] == doctest::Approx(ours[3][1] + 0.5));
  const int64_t one = database.integer("SELECT image_id FROM images WHERE name = '1.png'");
  const int64_t two = database.integer("SELECT image_id FROM images WHERE name = '2.png'");
  Statement matches(database, cat("SELECT rows FROM matches WHERE pair_id = ",
                                  2147483647 * std::min(one, two) + std::max(one, two)));
  REQUIRE(matches.step());
  CHECK(matches.integer(0) == int64_t(pair.matches.size()));

  const auto h5 = read_hdf5(p.folder / "out/features.h5", {{"below/0.png/keypoints", 1000}});
  CHECK(h5[0].dim(0) == int64_t(results.photos.at("below/0.png").keypoints.size()));
  const auto ends = read_hdf5(p.folder / "out/matches.h5", {{"2.png/below-0.png/matches0", 1000}});
  int64_t matched = 0;
  for (const double e : ends[0].span<double>()) matched += e >= 0;
  CHECK(matched == int64_t(results.pairs.at({"2.png", "below/0.png"}).matches.size()));
  CHECK(has(contents(p.folder / "out/pairs.txt"), "2.png below/0.png\n"));
  CHECK(has(contents(p.folder / "out/colmap-text/below/0.png.txt"), " 128\n"));
}

TEST_CASE("parts give what the whole gives") {
  const Photos p;
  REQUIRE(p.match("").code == 0);
  const std::string whole = only_pairs(ucn::read_results(p.folder / "out"));
  std::filesystem::remove_all(p.folder / "out");
  Command first(p.line("--shard 1/3")), second(p.line("--shard 2/3"));  // at once
  CHECK(first.wait().code == 0);
  CHECK(second.wait().code == 0);
  CHECK(p.match("--merge").err == "match: part 3 of 3 is not finished: its pairs are missing\n");
  const Finished third = p.match("--shard 3/3");
  CHECK(has(third.out, "match --folder photos --out out --merge"));
  const Finished merged = p.match("--merge");
  CHECK(merged.code == 0);
  CHECK(merged.err == "");
  CHECK(has(merged.out, "matched                  10 pairs of 5 photos"));
  CHECK(only_pairs(ucn::read_results(p.folder / "out")) == whole);
  for (const char* bad : {"0/3", "4/3", "1", "1/3x"}) {
    CAPTURE(bad);
    CHECK(p.match(std::string("--shard ") + bad).failed_in_one_line(2));
  }
}

TEST_CASE("a photo that was replaced, or is gone, takes its pairs with it") {
  const Photos p;
  REQUIRE(p.match("").code == 0);
  const std::string whole = only_pairs(ucn::read_results(p.folder / "out"));
  const Image other = read_image(p.folder / "photos/4.png");
  write_png(p.folder / "photos/3.png", resize_area(other.pixels, 50, 70));
  CHECK(p.match("--export csv,colmap,hloc").code == 0);
  const ucn::FolderResults replaced = ucn::read_results(p.folder / "out");
  CHECK(replaced.photos.at("3.png").width == 70);
  CHECK(replaced.pairs.size() == 10);
  for (const auto& [names, pair] : replaced.pairs)
    for (const auto& [a, b] : pair.matches) {
      CHECK(size_t(a) < replaced.photos.at(names.first).keypoints.size());
      CHECK(size_t(b) < replaced.photos.at(names.second).keypoints.size());
    }
  // As a run that never saw the other one.
  std::filesystem::rename(p.folder / "out", p.folder / "changed");
  CHECK(p.match("").code == 0);
  CHECK(only_pairs(replaced) == only_pairs(ucn::read_results(p.folder / "out")));
  CHECK(only_pairs(replaced) != whole);

  std::filesystem::remove(p.folder / "photos/3.png");
  CHECK(p.match("").code == 0);
  CHECK(ucn::read_results(p.folder / "out").photos.size() == 4);
  CHECK(ucn::read_results(p.folder / "out").pairs.size() == 6);

  // A part that still knows the old photo does not go with one that knows the new.
  REQUIRE(p.match("--shard 1/2").code == 0);
  REQUIRE(p.match("--shard 2/2").code == 0);
  write_png(p.folder / "photos/2.png", resize_area(other.pixels, 50, 70));
  REQUIRE(p.match("--shard 1/2").code == 0);
  const Finished merged = p.match("--merge");
  CHECK(merged.failed_in_one_line(1));
  CHECK(has(merged.err, "has changed between the parts"));
}

TEST_CASE("a folder's report goes where it is asked to, without photos that are gone") {
  const Photos p;
  const Finished r = p.match("--report out/all.html");
  CAPTURE(r.err);
  CHECK(r.code == 0);
  CHECK(has(r.out, "out/all.html\n"));
  CHECK(has(contents(p.folder / "out/all.html"), "below/0.png"));
  std::filesystem::remove(p.folder / "photos/below/0.png");
  const Finished merged = p.match("--merge --report less.html");
  CHECK(merged.code == 0);
  CHECK(has(merged.err, "match: left out of the report: "));
  CHECK(has(merged.err, "below/0.png"));
  CHECK(!has(contents(p.folder / "less.html"), "below/0.png"));
  CHECK(p.match("--report photos/1.png").failed_in_one_line(2));
  CHECK(p.match("--shard 1/2 --report x.html").failed_in_one_line(2));
  CHECK(p.match("--report absent/x.html").failed_in_one_line(1));
}

TEST_CASE("pair lists, sequences, and pairs that are there already") {
  const Photos p;
  write_file_atomically(p.folder / "list.txt", std::string_view("1.png 2.png\n2.png 1.png\n"));
  CHECK(has(p.match("--pairs list.txt").out, "matched                  1 pairs"));
  CHECK(has(p.match("--pairs sequential --window 1").out, "matched                  4 pairs"));
  const auto time = std::filesystem::last_write_time(p.folder / "out/features/1.png.safetensors");
  CHECK(has(p.match("").out, "matched                  10 pairs"));
  CHECK(std::filesystem::last_write_time(p.folder / "out/features/1.png.safetensors") == time);
  // A photo that changed is looked at again.
  write_png(p.folder / "photos/1.png", some_photo(64, 90, 7));
  std::filesystem::remove(p.folder / "out/results-1-of-1.db");
  CHECK(p.match("").code == 0);
  CHECK(std::filesystem::last_write_time(p.folder / "out/features/1.png.safetensors") != time);
  for (const char* settings : {"--ratio 0.9", "--support 0"}) {
    const Finished other = p.match(settings);
    CHECK(other.failed_in_one_line(2));
    CHECK(has(other.err, "other settings"));
  }
  write_file_atomically(p.folder / "list.txt", std::string_view("1.png\n"));
  CHECK(p.match("--pairs list.txt").failed_in_one_line(1));
}

TEST_CASE("broken photos are named and left out") {
  const Photos p;
  write_file_atomically(p.folder / "photos/broken.png", std::string_view("no photo"));
  const Finished r = p.match("");
  CHECK(r.code == 0);
  CHECK(has(r.err, "match: left out: "));
  CHECK(has(r.err, "photos/broken.png"));
  CHECK(std::ranges::count(r.err, '\n') == 1);
  CHECK(ucn::read_results(p.folder / "out").pairs.size() == 10);
}

TEST_CASE("files of others are refused and left as they are") {
  const Photos p;
  std::filesystem::create_directories(p.folder / "out");
  const auto refused = [&](const std::string& name, const std::string& words) {
    const std::string before = contents(p.folder / ("out/" + name));
    const Finished r = p.match("");
    CAPTURE(r.err);
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, name));
    CHECK(has(r.err, words));
    CHECK(contents(p.folder / ("out/" + name)) == before);
  };
  {
    Database other(p.folder / "out/database.db", Database::Mode::write);
    other.run("CREATE TABLE cameras (mine INTEGER)");
  }
  refused("database.db", "did not write");
  std::filesystem::remove(p.folder / "out/database.db");
  write_file_atomically(p.folder / "out/database.db", std::string(5000, 'x'));
  refused("database.db", "not an SQLite database");
  std::filesystem::remove(p.folder / "out/database.db");
  REQUIRE(p.match("").code == 0);
  {
    Database other(p.folder / "out/database.db", Database::Mode::write);
    Transaction lock(other, true);  // reading the file in this process would drop the lock
    const Finished r = p.match("");
    CHECK(r.failed_in_one_line(1));
    CHECK(has(r.err, "database.db': another program uses it"));
  }
  CHECK(p.match("").code == 0);
  std::filesystem::remove(p.folder / "out/results-1-of-1.db");
  write_file_atomically(p.folder / "out/results-1-of-1.db", std::string(5000, 'x'));
  refused("results-1-of-1.db", "not an SQLite database");
}

TEST_CASE("a folder run that is killed at any moment leaves readable files and goes on") {
  const Photos p;
  REQUIRE(p.match("").code == 0);
  const std::string whole = only_pairs(ucn::read_results(p.folder / "out"));
  std::filesystem::remove_all(p.folder / "out");
  Random random(5);
  for (int kill = 0; kill < 25; ++kill) {
    if (kill % 8 == 7) std::filesystem::remove_all(p.folder / "out");
    Command command(p.line("--export csv,colmap,hloc"));
    std::this_thread::sleep_for(std::chrono::milliseconds(random.below(400)));
    command.send(SIGKILL);
    command.wait();
    if (std::filesystem::exists(p.folder / "out/results-1-of-1.db"))
      Database(p.folder / "out/results-1-of-1.db", Database::Mode::write)
          .integer("SELECT count(*) FROM sqlite_master");
    if (std::filesystem::exists(p.folder / "out/features.h5"))
      CHECK(read_hdf5(p.folder / "out/features.h5", {{"1.png/keypoints", 1000}})[0].dim(0) > 0);
  }
  const Finished last = p.match("--export csv,colmap,hloc");
  CAPTURE(last.err);
  CHECK(last.code == 0);
  CHECK(only_pairs(ucn::read_results(p.folder / "out")) == whole);
  Database database(p.folder / "out/database.db", Database::Mode::read);
  CHECK(database.integer("SELECT count(*) FROM matches") == 10);
}

TEST_CASE("a pair of a folder has the matches that its photos alone have") {
  const Photos p;
  const auto count = [&](const std::string& options) {
    std::filesystem::remove_all(p.folder / "out");
    REQUIRE(p.match(options).code == 0);
    const auto pairs = ucn::read_results(p.folder / "out").pairs;
    const Finished two = run("cd '" + p.folder.path.string() +
                             "'; exec match --weights weights.safetensors --mode keypoints --json "
                             "--keypoints corners --max-keypoints 300 --whole-pixels photos/1.png "
                             "photos/2.png " +
                             options);
    const auto matches = int64_t(pairs.at({"1.png", "2.png"}).matches.size());
    CHECK(nlohmann::json::parse(two.out).at("matches") == matches);
    return matches;
  };
  for (const std::string views : {"--scale 3 ", "--scales 1,0.5 --rotations 2 "}) {
    CAPTURE(views);
    CHECK(count(views) > 5);
    CHECK(count(views) < count(views + "--support 0"));
  }
}

TEST_CASE("a folder that cannot be written, is empty or is not there: one line") {
  const Photos p;
  CHECK(
      run("cd '" + p.folder.path.string() + "'; exec match --folder photos").failed_in_one_line(2));
  CHECK(run("exec match --folder /nowhere --out /tmp/x").failed_in_one_line(1));
  std::filesystem::create_directories(p.folder / "empty");
  CHECK(run("cd '" + p.folder.path.string() + "'; exec match --folder empty --out out")
            .failed_in_one_line(1));
  CHECK(p.match("a.png").failed_in_one_line(2));
  CHECK(p.match("--mode all").failed_in_one_line(2));
  CHECK(p.match("--stability").failed_in_one_line(2));
  CHECK(p.match("--merge").failed_in_one_line(1));
  CHECK(p.match("--export json").failed_in_one_line(2));
  CHECK(run("cd '" + p.folder.path.string() +
            "'; ulimit -f 20; exec match --weights "
            "weights.safetensors --folder photos --out full")
            .failed_in_one_line(1));
}

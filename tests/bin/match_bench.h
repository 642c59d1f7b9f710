// Two small photos and weights for the tests of match.
#pragma once

#include <array>
#include <sstream>
#include <string>
#include <vector>

#include "data/image.h"
#include "tests/bin/command.h"
#include "tests/ucn/some_photos.h"
#include "ucn/weights.h"

namespace cairn::test {

/// A folder with photos a.png and b.png and weights.safetensors of an untrained network: the same
/// pixels give the same features, so that a photo and its copy match everywhere.
struct Bench {
  Folder folder;
  Bench() {
    write_png(folder / "a.png", some_photo(60, 84, 1));
    write_png(folder / "b.png", some_photo(60, 84, 1));
    Random random(3);
    ucn::save_weights(folder / "weights.safetensors", ucn::ResUNet({.outputs = 16}, random));
  }
  /// match in the folder, with these weights and --out out. Features of an untrained network change
  /// from pixel to pixel, so keypoints are whole pixels, and searched exactly, unless otherwise
  /// asked for.
  Finished match(const std::string& arguments, const std::string& before = "") const {
    const std::string corners =
        has(arguments, "--keypoints") ? " " : " --keypoints corners --whole-pixels ";
    const std::string ratio = has(arguments, "--ratio") ? "" : " --ratio 1 ";
    const std::string exact = has(arguments, "--coarse") ? "" : " --coarse 0 ";
    return run("cd '" + folder.path.string() + "'; " + before +
               " exec match --weights weights.safetensors --out out " + ratio + exact + corners +
               arguments);
  }
  void write(const std::string& name, const Bytes& bytes) const {
    write_file_atomically(folder / name, bytes);
  }
  /// x0, y0, x1, y1, score, inlier; the confidence left out
  std::vector<std::array<double, 6>> matches() const {
    std::istringstream csv(contents(folder / "out/matches.csv"));
    std::string line;
    REQUIRE(std::getline(csv, line));
    const bool confident = line == "x0,y0,x1,y1,score,confidence,inlier";
    CHECK((confident || line == "x0,y0,x1,y1,score,inlier"));
    std::vector<std::array<double, 6>> rows;
    while (std::getline(csv, line)) {
      auto& r = rows.emplace_back();
      double sure = 0;
      char more = 0;
      REQUIRE((confident ? std::sscanf(line.c_str(), "%lf,%lf,%lf,%lf,%lf,%lf,%lf%c", &r[0], &r[1],
                                       &r[2], &r[3], &r[4], &sure, &r[5], &more) == 7
                         : std::sscanf(line.c_str(), "%lf,%lf,%lf,%lf,%lf,%lf%c", &r[0], &r[1],
                                       &r[2], &r[3], &r[4], &r[5], &more) == 6));
    }
    return rows;
  }
};

inline const Bench& bench() {
  static const Bench b;
  return b;
}

}  // namespace cairn::test

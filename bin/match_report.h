// The interactive page of two photos, as match writes it.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "bin/explain.h"
#include "bin/program.h"
#include "ucn/match_photos.h"
#include "ucn/report.h"

namespace cairn {

/// Runs one stage and notes how long it took.
class Stages {
 public:
  void operator()(const char* name, const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const auto end = std::chrono::steady_clock::now();
    seconds_.emplace_back(name, std::chrono::duration<double>(end - start).count());
    trace.add(name, 0, start, end);
  }
  const std::vector<std::pair<std::string, double>>& seconds() const { return seconds_; }
  Trace trace;

 private:
  std::vector<std::pair<std::string, double>> seconds_;
};

/// The interactive page of two photos.
inline std::string report_of(const ucn::MatchedPhotos& m, const ucn::MatcherSettings& settings,
                             const std::string& command, const Stages& stage) {
  using namespace ucn;
  const MatchFile& file = m.file;
  const auto name = [](const std::string& path) {
    return std::filesystem::path(path).filename().string();
  };
  Report report;
  report.photos = {report_photo(name(file.photo0.path), m.photo0.photo.original),
                   report_photo(name(file.photo1.path), m.photo1.photo.original)};
  ReportPair& pair = report.pairs.emplace_back();
  pair.photo1 = 1;
  constexpr size_t most = 20000;  // more are too slow to move
  pair.matches = m.found.found.matches;
  pair.inlier = file.geometry.inlier;
  pair.found = int64_t(pair.matches.size());
  pair.found_inliers = file.geometry.inliers;
  if (pair.matches.size() > most)
    pair.matches.erase(pair.matches.begin() + most, pair.matches.end());
  if (pair.inlier.size() > most) pair.inlier.resize(most);
  const auto& removed = m.found.found.removed;
  for (const auto& r : removed) {
    auto f = std::ranges::find(pair.filters, r.by, &ReportPair::Filter::name);
    if (f == pair.filters.end()) f = pair.filters.insert(f, {r.by, 0, {}, {}});
    ++f->removed;
  }
  for (ReportPair::Filter& f : pair.filters)
    for (size_t k = 0, n = 0; k < removed.size(); ++k) {
      const Correspondence& match = removed[k].match;
      if (removed[k].by != f.name || n++ % (size_t(f.removed) / most + 1) != 0) continue;
      const auto p0 = m.photo0.photo.original.to_stored(match.x0, match.y0),
                 p1 = m.photo1.photo.original.to_stored(match.x1, match.y1);
      f.shown.push_back(match);
      f.agrees.push_back(file.geometry.inliers > 0 &&
                         sampson_distance(file.geometry, {p0[0], p0[1], p1[0], p1[1]}, m.cameras) <=
                             settings.threshold);
    }
  pair.geometry = settings.verify;
  pair.same_scene = file.same_scene;
  constexpr int64_t cells = 64;
  const std::array coarse = {coarse_features(m.photo0, *m.found.view0, cells),
                             coarse_features(m.photo1, *m.found.view1, cells)};
  if (coarse[0].defined() && coarse[1].defined()) pair.grids = feature_grids(coarse);
  report.about = {{"command", command},
                  {"matched by", settings.describe()},
                  {"program", std::string("match (cairn) ") + version}};
  std::string stages;
  for (const auto& [name, seconds] : stage.seconds()) {
    char text[80];
    std::snprintf(text, sizeof text, "%s%s %.3f s", stages.empty() ? "" : "; ", name.c_str(),
                  seconds);
    stages += text;
  }
  report.about.push_back({"time", stages});
  report.about.push_back(
      {"memory", cat(std::llround(peak_resident_memory() / 1e6), " MB at most")});
  return to_html(report);
}

}  // namespace cairn

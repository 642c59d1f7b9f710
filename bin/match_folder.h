// match --folder: the matches among many photos.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bin/matcher_options.h"
#include "data/homography_pairs.h"
#include "tensor/file.h"
#include "ucn/report.h"

namespace cairn {

struct FolderFlags {
  std::string photos, pairs = "exhaustive", shard = "1/1";
  int64_t window = 10;
  bool merge = false, single_camera = false;

  void add_options(CLI::App& app) {
    app.option_defaults()->group("Folders");
    app.add_option("--folder", photos, "match the photos in a folder")->type_name("DIR");
    app.add_option("--pairs", pairs, "exhaustive, sequential, or a file with two names a line");
    app.add_option("--window", window, "sequential: with how many that follow")->check(positive());
    app.add_option("--shard", shard, "do part I of N alone, say 2/8; then --merge")
        ->type_name("I/N");
    app.add_flag("--merge", merge, "only export what all parts have found");
    app.add_flag("--single-camera", single_camera, "colmap: photos of one size share a camera");
  }
};

/// What is written last is refused first.
inline void require_folder_of(const char* flag, const std::string& file) {
  std::error_code error;
  const auto folder = std::filesystem::path(file).parent_path();
  require(folder.empty() || std::filesystem::is_directory(folder, error), ErrorId::io, "match",
          flag, ": there is no folder '", folder.string(), "'");
}

/// What --json prints. Names of files need not be UTF-8, as JSON has to be.
inline void print(const nlohmann::ordered_json& j) {
  std::printf("%s\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

/// One line on a terminal that is written over; nothing elsewhere.
inline void show(const ucn::FolderDone& d) {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1 && !quiet;
  if (!terminal) return;
  const auto left = (long long)std::ceil(d.seconds_left);
  std::fprintf(stderr, "\r\033[Kphotos %lld of %lld, pairs %lld of %lld, %lld:%02lld left%s",
               (long long)d.photos, (long long)d.all_photos, (long long)d.pairs,
               (long long)d.all_pairs, left / 60, left % 60,
               d.photos == d.all_photos && d.pairs == d.all_pairs ? "\n" : "");
}

inline int run_folder(const FolderFlags& f, MatcherFlags& m, const std::string& out,
                      std::vector<std::string> exports, const std::string& page,
                      const std::string& command, bool json) {
  using namespace ucn;
  int64_t part = 0, parts = 0;
  char more = 0;
  require(std::sscanf(f.shard.c_str(), "%ld/%ld%c", &part, &parts, &more) == 2 && part >= 1 &&
              part <= parts,
          ErrorId::usage, "match", "--shard is I/N with 1 <= I <= N, not ", f.shard);
  require(page.empty() || parts == 1 || f.merge, ErrorId::usage, "match",
          "--report shows all parts: use it with --merge");
  require(out != ".", ErrorId::usage, "match", "--folder needs --out, a folder for its results");
  if (exports.empty()) exports = {"csv", "colmap"};
  std::error_code error;
  if (!f.merge && !page.empty())
    std::filesystem::create_directories(out, error);  // where the page may go
  require_folder_of("--report", page);
  for (const std::string& e : exports)
    require(e == "csv" || e == "colmap" || e == "hloc" || e == "text", ErrorId::usage, "match",
            "--export: a folder has no '", e, "'; there is csv, colmap, hloc, text");

  using nlohmann::ordered_json;
  const auto start = std::chrono::steady_clock::now();
  ordered_json say;
  if (!f.merge) {
    const Device device = m.machine.use();
    m.resolve(device, "keypoints");
    require(m.options.correspond.mode == MatchMode::keypoints, ErrorId::usage, "match",
            "a folder is matched in mode keypoints, whose keypoints are the same in all pairs");
    require(!m.options.correspond.stability, ErrorId::usage, "match",
            "--stability needs the features of all pixels, which are not kept of a folder");
    std::vector<std::string> names;
    for (const std::string& path : find_images(f.photos))
      names.push_back(std::filesystem::path(path).lexically_relative(f.photos));
    const std::vector<NamePair> pairs = f.pairs == "exhaustive" ? exhaustive_pairs(names)
                                        : f.pairs == "sequential"
                                            ? sequential_pairs(names, f.window)
                                            : listed_pairs(f.pairs);
    require(!pairs.empty(), ErrorId::io, "match", "there is no pair to match: ", names.size(),
            " photos in '", f.photos, "', pairs: ", f.pairs);
    const Weights weights = m.load(device);
    m.options.correspond.confidence = false;  // no file of a folder's has a place for it
    PhotoMatcher matcher(*weights.network, m.options);
    FolderOptions o;
    o.photos = f.photos;
    o.results = out;
    o.part = part;
    o.parts = parts;
    o.verify = geometry(m.verify);
    o.ransac = {.threshold = m.threshold, .seed = m.options.correspond.seed, .best_first = true};
    o.focal = m.focal;
    // FNV-1a of the file's bytes.
    uint64_t hash = 14695981039346656037u;
    for (const uint8_t byte : read_file(m.weights_file())) hash = (hash ^ byte) * 1099511628211u;
    o.weights_id = std::to_string(hash);
    const auto broken = match_folder(matcher, pairs, o, show);
    for (const BrokenPhoto& b : broken) warn("left out: " + b.message);
    say = {{"device", describe(device, m.precision)},
           {"photos", names.size()},
           {"unreadable", ordered_json::array()},
           {"all_pairs", pairs.size()},
           {"part", f.shard},
           {"pairs_of_part", part_of(pairs, part, parts).size()}};
    for (const BrokenPhoto& b : broken)
      say["unreadable"].push_back({{"photo", b.path}, {"why", one_line(b.message)}});
    if (!json) {
      std::printf("on %s\n", describe(device, m.precision).c_str());
      std::printf("photos                   %zu, of which %zu could not be read\n", names.size(),
                  broken.size());
      std::printf("pairs                    %zu, %zu of them in part %ld of %ld\n", pairs.size(),
                  part_of(pairs, part, parts).size(), part, parts);
    }
    if (parts > 1) {
      if (json)
        print(say);
      else
        std::printf("once all parts are done: %s --folder %s --out %s --merge\n", program.c_str(),
                    f.photos.c_str(), out.c_str());
      return done;
    }
  }
  const FolderResults results = read_results(out);
  for (const std::string& part : results.unfinished)
    warn("part " + part + " is not finished: its pairs are missing");
  int64_t same = 0, matches = 0;
  for (const auto& [names, pair] : results.pairs) {
    same += pair.same_scene >= 0.5;
    matches += int64_t(pair.matches.size());
  }
  std::vector<std::string> files;
  for (const std::string& e : exports)
    for (const std::string& file : export_results(results, e, out, {m.focal, f.single_camera}))
      files.push_back(file);
  if (!page.empty()) {
    Report report = folder_report(results, out, f.photos);
    for (const std::string& why : report.left_out) warn("left out of the report: " + why);
    report.about = {{"command", command}, {"program", std::string("match (cairn) ") + version}};
    if (!f.merge) report.about.insert(report.about.begin() + 1, {"matched by", m.describe()});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    report.about.push_back({"time", cat(std::round(10 * took.count()) / 10, " s, this run")});
    report.about.push_back(
        {"memory", cat(std::llround(peak_resident_memory() / 1e6), " MB at most")});
    if (report.pairs.empty()) {
      warn("no report: there is no pair to show");
    } else {
      write_file_atomically(page, to_html(report), "match");
      files.push_back(page);
    }
  }
  if (json) {
    say["matched_pairs"] = results.pairs.size();
    say["matches"] = matches;
    if (m.verify != "none") say["same_scene_pairs"] = same;
    say["unfinished_parts"] = results.unfinished;
    say["peak_bytes"] = int64_t(peak_resident_memory());
    say["files"] = files;
    print(say);
    return done;
  }
  std::printf("matched                  %zu pairs of %zu photos, %lld matches a pair\n",
              results.pairs.size(), results.photos.size(),
              (long long)(matches / std::max<int64_t>(1, int64_t(results.pairs.size()))));
  if (m.verify != "none") std::printf("same scene               %lld pairs\n", (long long)same);
  for (const std::string& file : files) std::printf("%s\n", file.c_str());
  std::printf("peak memory              %.0f MB\n", peak_resident_memory() / 1e6);
  return done;
}

}  // namespace cairn

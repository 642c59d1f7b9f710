// match: correspondences between two photos, or among those of a folder.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "bin/explain.h"
#include "bin/match_folder.h"
#include "bin/match_pictures.h"
#include "bin/match_report.h"
#include "bin/match_serve.h"
#include "bin/matcher_options.h"
#include "tensor/file.h"
#include "ucn/match_photos.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string photo0, photo1, out = ".", trace, report;
  std::string command;  // as it was given
  std::vector<std::string> exports, draw;
  bool explain = false, json = false, serve = false;
  int port = 8080;
  MatcherFlags matcher;
  FolderFlags folder;
};

void add_options(CLI::App& app, Arguments& a) {
  using CLI::IsMember;
  app.option_defaults()->always_capture_default();
  app.option_defaults()->group("Photos");
  app.add_option("A", a.photo0, "a photo (PNG, JPEG, PPM)");
  app.add_option("B", a.photo1, "another");

  app.option_defaults()->group("Result");
  app.add_option("--out", a.out, "folder for the results")->type_name("DIR");
  app.add_option("--export", a.exports,
                 "csv,json,npz,yml [csv]; of a folder csv,colmap,hloc,text [csv,colmap]")
      ->delimiter(',')
      ->type_name("LIST");
  app.add_option("--report", a.report, "also write an interactive page, a file that ends in .html")
      ->check(CLI::Validator(
          [](std::string& text) {
            return text.ends_with(".html") ? "" : "must end in .html, not be " + text;
          },
          ""))
      ->type_name("FILE");
  std::vector<std::string> kinds;
  for (const auto& [kind, file] : picture_files) kinds.push_back(kind);
  app.add_option("--draw", a.draw,
                 "points,lines,density,overlay,checkerboard,features or none [points]")
      ->delimiter(',')
      ->default_str("")
      ->check(CLI::Validator(
          [kinds](std::string& text) {
            return text == "none" || std::ranges::count(kinds, text) > 0
                       ? ""
                       : "there is no picture '" + text + "'";
          },
          CLI::detail::generate_set(kinds)))
      ->type_name("LIST");

  app.add_flag("--json", a.json, "print what there is to say as one JSON object, for programs");
  a.folder.add_options(app);
  app.option_defaults()->group("Live");
  app.add_flag("--serve", a.serve,
               "serve a page, to this machine alone, on which to drop two photos");
  app.add_option("--port", a.port, "where; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->type_name("N");
  a.matcher.add_options(app);
  app.add_flag("--explain", a.explain, "print how the network ran, operation by operation")
      ->group("Machine");
  app.add_option("--trace", a.trace, "write a timeline for chrome://tracing or ui.perfetto.dev")
      ->type_name("FILE")
      ->group("Machine");
}

/// Where results go; the folder is made now, because what follows takes long. Neither the photos
/// nor the weights may be among them.
std::vector<std::string> outputs(const Arguments& a) {
  std::error_code error;
  std::filesystem::create_directories(a.out, error);
  require(!error, ErrorId::io, "match", "cannot make the folder '", a.out, "': ", error.message());
  require_folder_of("--trace", a.trace);
  require_folder_of("--report", a.report);
  std::vector<std::string> files;
  for (const std::string& e : a.exports) files.push_back(a.out + "/matches." + e);
  for (const std::string& kind : a.draw) files.push_back(a.out + "/" + picture_file(kind));
  if (!a.report.empty()) files.push_back(a.report);
  const auto place = [&](const std::string& file) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(file, error), error);
  };
  for (const std::string& file : files)
    require(a.trace.empty() || place(a.trace) != place(file), ErrorId::usage, "match",
            "--trace would be written over '", file, "'");
  auto all = files;
  if (!a.trace.empty()) all.push_back(a.trace);
  for (const std::string& file : all)
    for (const std::string& input : {a.photo0, a.photo1, a.matcher.weights})
      require(input.empty() || !std::filesystem::equivalent(file, input, error), ErrorId::usage,
              "match", "'", input,
              "' would be overwritten. Hint: another --out, --trace or --report");
  return files;
}

/// What there is to say at the end.
struct Summary {
  const Arguments& a;
  const MatchedPhotos& m;
  const Stages& stage;
  Device device;
  std::vector<std::string> missing, files;  ///< pictures that could not be drawn; what was written
};

void print_text(const Summary& s) {
  const auto& [a, m, stage, device, missing, files] = s;
  const auto describe = [](const char* name, const std::string& path, const Photo& p) {
    std::printf("%s  %s: %lld x %lld, seen at %lld x %lld\n", name, one_line(path).c_str(),
                (long long)p.original.stored_width, (long long)p.original.stored_height,
                (long long)p.pixels.dim(1), (long long)p.pixels.dim(0));
  };
  std::printf("on %s\n", cairn::describe(device, a.matcher.precision).c_str());
  describe("A", a.photo0, m.photo0.photo);
  describe("B", a.photo1, m.photo1.photo);
  if (m.found.keypoints0 + m.found.keypoints1 > 0)
    std::printf("keypoints                %lld in A, %lld in B\n", (long long)m.found.keypoints0,
                (long long)m.found.keypoints1);
  else
    std::printf("keypoints                none: every pixel is matched\n");
  if (m.look && m.look->surfaces[0].agreeing > 0) {
    std::string agreeing;
    for (const Surface& part : m.look->surfaces)
      if (part.agreeing > 0) agreeing += cat(agreeing.empty() ? "" : " + ", part.agreeing);
    std::printf("aligned                  by %s matches of a first look (%lld views tried)\n",
                agreeing.c_str(), (long long)m.look->looks);
  } else if (m.look)
    std::printf("aligned                  not: no first look found how (%lld views tried)\n",
                (long long)m.look->looks);
  if (!m.look && m.photo0.views.size() * m.photo1.views.size() > 1)
    std::printf("best seen                A at %.3g, B at %.3g turned by %d degrees\n",
                m.found.view0->scale, m.found.view1->scale, m.found.view1->rotation);
  for (const auto& [name, left] : m.found.found.stages)
    std::printf("%-24s %lld\n", name == "found" ? "matches" : ("  after " + name).c_str(),
                (long long)left);
  if (const auto& c = a.matcher.options.correspond; c.coarse > 0 && c.measure_exact)
    std::printf("found coarse to fine     %.1f %% as by the exact search, in a sample\n",
                100 * m.found.found.exact);
  if (a.matcher.verify != "none") {
    const TwoView& g = m.file.geometry;
    if (g.inliers > 0)
      std::printf("%-24s %lld inliers within %g px\n", a.matcher.verify.c_str(),
                  (long long)g.inliers, a.matcher.threshold);
    else
      std::printf("%-24s none fits\n", a.matcher.verify.c_str());
    std::printf("same scene               %.2f%s\n", m.file.same_scene,
                m.file.same_scene < 0.5 ? ": the photos probably show different things" : "");
  }
  std::printf("time\n");
  for (const auto& [name, seconds] : stage.seconds())
    std::printf("  %-22s %8.3f s\n", name.c_str(), seconds);
  std::printf("peak memory              %.0f MB, of which tensors %.0f MB\n",
              peak_resident_memory() / 1e6, double(memory_stats(Device::cpu).peak) / 1e6);
  if (device == Device::cuda)
    std::printf("peak memory of the GPU   %.0f MB\n",
                double(memory_stats(Device::cuda).peak) / 1e6);
  for (const std::string& kind : missing)
    std::printf("%-24s not drawn: no homography fits\n", kind.c_str());
  for (const std::string& path : files) std::printf("%s\n", one_line(path).c_str());
}

/// The same as one object, for programs.
void print_json(const Summary& s) {
  using json = nlohmann::ordered_json;
  const auto photo = [](const std::string& path, const Photo& p, int64_t keypoints) {
    return json{{"path", path},
                {"width", p.original.stored_width},
                {"height", p.original.stored_height},
                {"keypoints", keypoints}};
  };
  const MatchFile& file = s.m.file;
  json j = {{"a", photo(s.a.photo0, s.m.photo0.photo, s.m.found.keypoints0)},
            {"b", photo(s.a.photo1, s.m.photo1.photo, s.m.found.keypoints1)},
            {"device", cairn::describe(s.device, s.a.matcher.precision)},
            {"matches", file.matches.size()},
            {"aligned_by", s.m.look ? s.m.look->surfaces[0].agreeing : 0},
            {"surfaces", s.m.look ? s.m.look->surfaces.size() : 1}};
  for (const auto& [name, left] : s.m.found.found.stages) j["left_after"][name] = left;
  j["geometry"] = s.a.matcher.verify;
  if (s.a.matcher.verify != "none") {
    j["inliers"] = file.geometry.inliers;
    j["matrix"] = file.geometry.inliers > 0 ? json(file.geometry.matrix) : json();
    j["same_scene"] = file.same_scene;
  }
  for (const auto& [name, seconds] : s.stage.seconds()) j["seconds"][name] = seconds;
  if (!s.m.look && s.m.photo0.views.size() * s.m.photo1.views.size() > 1)
    j["best_seen"] = {{"a_scale", s.m.found.view0->scale},
                      {"b_scale", s.m.found.view1->scale},
                      {"b_turned", s.m.found.view1->rotation}};
  if (const auto& c = s.a.matcher.options.correspond; c.coarse > 0 && c.measure_exact)
    j["found_as_exactly"] = s.m.found.found.exact;
  j["peak_bytes"] = int64_t(peak_resident_memory());
  if (s.device == Device::cuda) j["peak_gpu_bytes"] = memory_stats(Device::cuda).peak;
  j["not_drawn"] = s.missing;
  j["files"] = s.files;
  print(j);
}

int run(Arguments& a) {
  require(!a.json || !quiet, ErrorId::usage, "match", "--quiet says nothing, not even --json");
  if (a.serve) {
    require(a.photo0.empty() && a.folder.photos.empty() && a.exports.empty() && a.draw.empty() &&
                a.report.empty() && a.trace.empty() && !a.explain && !a.json && a.out == "." &&
                !a.folder.merge,
            ErrorId::usage, "match",
            "--serve takes photos from its page and writes nothing: no photos, --folder, --export, "
            "--out, --draw, --report, --explain, --trace or --json with it");
    return serve(a.matcher, a.port);
  }
  if (!a.folder.photos.empty()) {
    require(a.photo0.empty(), ErrorId::usage, "match",
            "--folder matches the photos of a folder, and '", a.photo0, "' is one too many");
    require(!a.explain && a.trace.empty(), ErrorId::usage, "match",
            "--explain and --trace are for two photos");
    require(a.draw.empty(), ErrorId::usage, "match",
            "--draw is for two photos; --report shows those of a folder");
    return run_folder(a.folder, a.matcher, a.out, a.exports, a.report, a.command, a.json);
  }
  require(!a.photo1.empty(), ErrorId::usage, "match",
          "two photos are needed, or --folder. Hint: --help");
  require(!a.explain || !a.json, ErrorId::usage, "match", "--explain is for people, --json is not");
  const auto once = [](std::vector<std::string>& names) {
    std::set<std::string> seen;
    std::erase_if(names, [&](const std::string& n) { return !seen.insert(n).second; });
  };
  once(a.exports);
  once(a.draw);
  if (a.exports.empty()) a.exports = {"csv"};
  if (a.draw.empty()) a.draw = {"points"};
  require(a.draw.size() == 1 || std::ranges::count(a.draw, "none") == 0, ErrorId::usage, "match",
          "--draw: none with others");
  std::erase(a.draw, "none");
  for (const std::string& e : a.exports)
    require(e == "csv" || e == "json" || e == "npz" || e == "yml", ErrorId::usage, "match",
            "--export: two photos have no '", e, "'; there is csv, json, npz, yml");
  const Device device = a.matcher.machine.use();
  a.matcher.resolve(device);
  a.matcher.options.correspond.keep_removed = !a.report.empty();
  require(!a.explain || device == Device::cpu, ErrorId::usage, "match",
          "--explain tells of the CPU's plan; a GPU has none. Hint: --device cpu");

  Stages stage;
  Weights weights;
  stage("weights", [&] { weights = a.matcher.load(device); });
  PhotoMatcher matcher(*weights.network, a.matcher.options);
  FeatureExtractor& extract = matcher.extractor();
  extract.record_events(!a.trace.empty());
  Photo photo0, photo1;
  stage("reading A", [&] { photo0 = matcher.read(a.photo0); });
  stage("reading B", [&] { photo1 = matcher.read(a.photo1); });
  auto files = outputs(a);

  const auto run_stage = [&](const char* name, const std::function<void()>& work) {
    const auto begin = Trace::Clock::now();
    stage(name, work);
    const nn::Plan* plan = extract.plan();  // not run anew where the first look knew the features
    if (std::string_view(name).starts_with("features") && plan && !plan->events().empty() &&
        plan->events()[0].begin >= begin)
      stage.trace.add(*plan);
  };
  MatchedPhotos matched =
      match_photos(matcher, a.matcher, std::move(photo0), std::move(photo1), run_stage);
  matched.file.photo0.path = a.photo0;
  matched.file.photo1.path = a.photo1;

  std::string page;
  if (!a.report.empty())
    stage("report", [&] { page = report_of(matched, a.matcher, a.command, stage); });
  std::vector<Tensor> pictures;
  if (!a.draw.empty())
    stage("drawing", [&] { pictures = pictures_of(a.draw, matched, *weights.network); });
  std::vector<std::string> missing;
  stage("writing", [&] {
    for (const std::string& e : a.exports) write_matches(a.out + "/matches." + e, matched.file);
    if (!page.empty()) write_file_atomically(a.report, page, "match");
    for (size_t k = 0; k < a.draw.size(); ++k) {
      const std::string path = a.out + "/" + picture_file(a.draw[k]);
      if (pictures[k].defined()) {
        write_png(path, pictures[k]);
        continue;
      }
      std::erase(files, path);
      missing.push_back(a.draw[k]);
      std::error_code error;
      std::filesystem::remove(path, error);  // one of other photos would mislead
    }
  });
  if (!a.trace.empty()) stage.trace.write(a.trace);

  const Summary summary{a, matched, stage, device, missing, files};
  a.json ? print_json(summary) : print_text(summary);
  if (a.explain && !a.json) {
    std::printf("\nhow the network ran last\n");
    print_plan(*extract.plan());
  }
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Finds correspondences between two photos, or among those of a folder.", "match");
  app.footer(
      "match a.jpg b.jpg --out result\tmatches, geometry, a picture, into a folder\n"
      "match a.jpg b.jpg --out result --report result/report.html\ta page to look at them\n"
      "match a.jpg b.jpg --out result --draw lines,overlay,features --export csv,npz\tmore of "
      "both\n"
      "match --folder photos --out result\tall pairs of a folder, for COLMAP or hloc\n"
      "match --serve\ta page of this machine's, to drop two photos on");
  Arguments arguments;
  for (int k = 0; k < argc; ++k) {
    const std::string word = argv[k];
    const bool plain = word.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789-_=+:,./@%") == std::string::npos;
    std::string quoted;
    for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    arguments.command += (k > 0 ? " " : "") + (plain && !word.empty() ? word : "'" + quoted + "'");
  }
  return run_program(
      app, argc, argv, [&] { add_options(app, arguments); }, [&] { return run(arguments); });
}

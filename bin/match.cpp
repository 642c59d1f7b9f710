// match: correspondences between two photos, as a table and a picture.
#include <chrono>
#include <filesystem>

#include "bin/explain.h"
#include "bin/program.h"
#include "tensor/file.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "ucn/keypoints.h"
#include "ucn/matcher.h"
#include "ucn/photo.h"
#include "ucn/picture.h"
#include "ucn/precision.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string photo0, photo1, out = ".", weights, trace;
  std::string draw = "points", mode = "all", keypoints = "corners", precision = "fp32";
  uint64_t seed = 0;
  bool one_way = false, no_exif = false, explain = false;
  Machine machine;
  PhotoOptions photo{.max_size = 1024};
  KeypointOptions detect;
  MatcherOptions match;
};

void add_options(CLI::App& app, Arguments& a) {
  using CLI::IsMember;
  app.option_defaults()->always_capture_default();
  app.option_defaults()->group("Photos");
  app.add_option("A", a.photo0, "a photo (PNG or JPEG)")->required();
  app.add_option("B", a.photo1, "another")->required();
  app.add_flag("--no-exif", a.no_exif, "leave the photos as they are stored");
  app.add_option("--max-size", a.photo.max_size, "longer photos are reduced to it; 0: never")
      ->check(not_negative());
  app.add_option("--scale", a.photo.scale, "resize the photos")
      ->check(number("above 0 and at most 8", [](double v) { return v > 0 && v <= 8; }));

  app.option_defaults()->group("Result");
  app.add_option("--out", a.out, "folder for matches.csv and matches.png")->type_name("DIR");
  app.add_option("--draw", a.draw, "points or lines")->check(IsMember({"points", "lines"}));

  app.option_defaults()->group("Matching");
  app.add_option("--weights", a.weights, "of the network; default: the bundled ones")
      ->type_name("FILE");
  app.add_option("--mode", a.mode, "keypoints of A with: keypoints of B, all pixels; or all_all")
      ->check(IsMember({"keypoints", "all", "all_all"}));
  app.add_option("--keypoints", a.keypoints, "corners or grid")
      ->check(IsMember({"corners", "grid"}));
  app.add_option("--max-keypoints", a.detect.max_keypoints, "at most so many in each photo")
      ->check(positive());
  app.add_flag("--one-way", a.one_way, "no reciprocity test");
  app.add_flag("--stability", a.match.stability, "search back from a pixel moved by +-1");
  app.add_option("--radius", a.match.radius, "px: how near the search back must return")
      ->check(positive());
  app.add_option("--ratio", a.match.ratio, "nearest / second nearest below it; 1: off")
      ->check(positive());
  app.add_option("--coarse", a.match.coarse,
                 "all_all coarse to fine, from every N-th pixel (say 4); 0: exactly")
      ->check(number("0 or at least 2", [](double v) { return v == 0 || v >= 2; }));
  app.add_option("--seed", a.seed, "of the stability test")->check(not_negative());

  a.machine.add_options(app, "Machine");
  app.add_option("--precision", a.precision, "fp32; on a GPU also tf32 or bf16 (faster)")
      ->check(IsMember({"fp32", "tf32", "bf16"}))
      ->group("Machine");
  app.add_flag("--explain", a.explain, "print how the network ran, operation by operation")
      ->group("Machine");
  app.add_option("--trace", a.trace, "write a timeline for chrome://tracing or ui.perfetto.dev")
      ->type_name("FILE")
      ->group("Machine");
}

/// The weights that come with the checkout whose bin/ holds this program.
std::string bundled_weights() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto path = program.parent_path().parent_path() / "ucn/weights/resunetbn2f.safetensors";
  require(std::filesystem::exists(path, error), ErrorId::io, "match", "the bundled weights, ",
          path.string(), ", are not there. Hint: name a file with --weights");
  return path;
}

/// Runs one stage and notes how long it took.
class Stages {
 public:
  template <class F>
  auto operator()(const char* name, F&& f) {
    const auto start = std::chrono::steady_clock::now();
    auto result = f();
    const auto end = std::chrono::steady_clock::now();
    lines_ += line(name, end - start);
    trace.add(name, 0, start, end);
    return result;
  }
  const std::string& lines() const { return lines_; }
  Trace trace;

 private:
  static std::string line(const char* name, std::chrono::duration<double> time) {
    char text[80];
    std::snprintf(text, sizeof text, "  %-22s %8.3f s\n", name, time.count());
    return text;
  }
  std::string lines_;
};

Tensor keypoints_of(const Arguments& a, const Photo& photo) {
  if (a.keypoints == "grid")
    return grid_keypoints(photo.pixels.dim(0), photo.pixels.dim(1), a.detect);
  return detect_corners(kernels::affine(to_gray(photo.pixels).to(DType::f32), 1.0 / 255, 0),
                        a.detect);
}

std::string csv_of(const std::vector<Match>& matches, const Photo& p0, const Photo& p1) {
  std::string csv = "x0,y0,x1,y1,score\n";
  for (const Match& m : matches) {
    if (!m.kept) continue;
    const auto [x0, y0] = p0.to_stored(m.x0, m.y0);
    const auto [x1, y1] = p1.to_stored(m.x1, m.y1);
    char line[160];
    std::snprintf(line, sizeof line, "%.3f,%.3f,%.3f,%.3f,%.5f\n", x0, y0, x1, y1, m.score);
    csv += line;
  }
  return csv;
}

/// On the upright originals, reduced so that a picture of large photos stays handy.
Tensor picture_of(std::vector<Match> matches, const Photo& p0, const Photo& p1, MatchStyle style) {
  constexpr int64_t longest = 1200;
  const auto shown = [](const Photo& p) {
    const int64_t h = p.original.height(), w = p.original.width(), side = std::max(h, w);
    if (side <= longest) return p.original.pixels;
    return resize_area(p.original.pixels, std::max<int64_t>(1, h * longest / side),
                       std::max<int64_t>(1, w * longest / side));
  };
  const Tensor image0 = shown(p0), image1 = shown(p1);
  const auto moved = [](double& x, double& y, const Photo& p, const Tensor& image) {
    x = (x + 0.5) * double(image.dim(1)) / double(p.pixels.dim(1)) - 0.5;
    y = (y + 0.5) * double(image.dim(0)) / double(p.pixels.dim(0)) - 0.5;
  };
  for (Match& m : matches) {
    moved(m.x0, m.y0, p0, image0);
    moved(m.x1, m.y1, p1, image1);
  }
  return draw_matches(image0, image1, matches, style);
}

int run(Arguments& a) {
  const Device device = a.machine.use();
  a.match.mode = match_mode(a.mode);
  a.match.reciprocity = !a.one_way;
  a.photo.respect_exif = !a.no_exif;
  require(!a.explain || device == Device::cpu, ErrorId::usage, "match",
          "--explain tells of the CPU's plan; a GPU has none. Hint: --device cpu");

  Stages stage;
  const Weights weights = stage(
      "weights", [&] { return load_weights(a.weights.empty() ? bundled_weights() : a.weights); });
  ResUNet& network = *weights.network;
  network.to(device);
  set_precision(network, precision(a.precision));
  FeatureExtractor extract(network);
  extract.record_events(!a.trace.empty());
  const int64_t channels = network.config().inputs;
  const Photo photo0 = stage("reading A", [&] { return read_photo(a.photo0, channels, a.photo); });
  const Photo photo1 = stage("reading B", [&] { return read_photo(a.photo1, channels, a.photo); });

  std::error_code error;  // now, because what follows takes long
  std::filesystem::create_directories(a.out, error);
  require(!error, ErrorId::io, "match", "cannot make the folder '", a.out, "': ", error.message());
  const auto folder = std::filesystem::path(a.trace).parent_path();
  require(folder.empty() || std::filesystem::is_directory(folder, error), ErrorId::io, "match",
          "--trace: there is no folder '", folder.string(), "'");
  const auto features_of = [&](const char* name, const Photo& photo) {
    const Tensor features = stage(name, [&] { return extract(photo.pixels); });
    if (extract.plan()) stage.trace.add(*extract.plan());
    return features;
  };
  const Tensor features0 = features_of("features of A", photo0);
  const Tensor features1 = features_of("features of B", photo1);
  const Tensor keypoints0 = stage("keypoints of A", [&] { return keypoints_of(a, photo0); });
  const Tensor keypoints1 = stage("keypoints of B", [&] { return keypoints_of(a, photo1); });
  Random random(a.seed);
  const MatchResult result = stage("matching", [&] {
    return match(features0, features1, keypoints0, keypoints1, a.match, random);
  });

  stage("writing", [&] {
    const Tensor picture = picture_of(result.matches, photo0, photo1, match_style(a.draw));
    write_png(a.out + "/matches.png", picture);
    write_file_atomically(a.out + "/matches.csv", csv_of(result.matches, photo0, photo1), "match");
    return 0;
  });

  if (!a.trace.empty()) stage.trace.write(a.trace);

  const auto describe = [](const char* name, const std::string& path, const Photo& p) {
    std::printf("%s  %s: %lld x %lld, seen at %lld x %lld\n", name, path.c_str(),
                (long long)p.original.stored_width, (long long)p.original.stored_height,
                (long long)p.pixels.dim(1), (long long)p.pixels.dim(0));
  };
  std::printf("on %s\n", cairn::describe(device, a.precision).c_str());
  describe("A", a.photo0, photo0);
  describe("B", a.photo1, photo1);
  const bool every_pixel = a.match.mode == MatchMode::all_all;
  std::printf("keypoints                %lld in A, %lld in B%s\n", (long long)keypoints0.dim(0),
              (long long)keypoints1.dim(0),
              every_pixel ? " (not used: every pixel is matched)" : "");
  std::printf("matches                  %lld\n", (long long)result.matches.size());
  if (a.match.ratio < 1)
    std::printf("  after the ratio test   %lld\n", (long long)result.after_ratio);
  if (a.match.reciprocity || a.match.stability)
    std::printf("  after the search back  %lld\n", (long long)result.kept);
  if (a.match.coarse > 0)
    std::printf("found coarse to fine     %.1f %% as by the exact search, in a sample\n",
                100 * result.exact);
  std::printf("time\n%s", stage.lines().c_str());
  std::printf("peak memory              %.0f MB, of which tensors %.0f MB\n",
              peak_resident_memory() / 1e6, double(memory_stats(Device::cpu).peak) / 1e6);
  if (device == Device::cuda)
    std::printf("peak memory of the GPU   %.0f MB\n",
                double(memory_stats(Device::cuda).peak) / 1e6);
  if (a.explain) {
    std::printf("\nhow the network ran on B\n");
    print_plan(*extract.plan());
  }
  std::printf("%s/matches.csv\n%s/matches.png\n", a.out.c_str(), a.out.c_str());
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Finds correspondences between two photos.", "match");
  Arguments arguments;
  return run_program(
      app, argc, argv, [&] { add_options(app, arguments); }, [&] { return run(arguments); });
}

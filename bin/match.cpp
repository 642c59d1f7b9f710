// match: correspondences between two photos, as a table and a picture.
#include <chrono>
#include <filesystem>

#include "bin/program.h"
#include "tensor/file.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/parallel.h"
#include "ucn/keypoints.h"
#include "ucn/matcher.h"
#include "ucn/photo.h"
#include "ucn/picture.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string photo0, photo1, out = ".", weights, device = "cpu", draw = "points";
  std::string mode = "all", keypoints = "corners";
  int threads = 0;
  uint64_t seed = 0;
  bool one_way = false, no_exif = false;
  PhotoOptions photo{.max_size = 1024};
  KeypointOptions detect;
  MatcherOptions match;
};

void add_options(CLI::App& app, Arguments& a) {
  app.option_defaults()->always_capture_default();
  app.add_option("A", a.photo0, "a photo (PNG or JPEG)")->required()->group("Photos");
  app.add_option("B", a.photo1, "another")->required()->group("Photos");
  app.add_flag("--no-exif", a.no_exif, "leave the photos as they are stored")->group("Photos");
  app.add_option("--max-size", a.photo.max_size, "longer photos are reduced to it; 0: never")
      ->group("Photos");
  app.add_option("--scale", a.photo.scale, "resize the photos")->group("Photos");

  app.add_option("--out", a.out, "folder for matches.csv and matches.png")->group("Result");
  app.add_option("--draw", a.draw, "points or lines")->group("Result");

  app.add_option("--weights", a.weights, "of the network; default: the bundled ones")
      ->group("Matching");
  app.add_option("--mode", a.mode, "keypoints of A with: keypoints of B, all pixels; or all_all")
      ->group("Matching");
  app.add_option("--keypoints", a.keypoints, "corners or grid")->group("Matching");
  app.add_option("--max-keypoints", a.detect.max_keypoints)->group("Matching");
  app.add_flag("--one-way", a.one_way, "no reciprocity test")->group("Matching");
  app.add_flag("--stability", a.match.stability, "search back from a pixel moved by +-1")
      ->group("Matching");
  app.add_option("--radius", a.match.radius, "px: how near the search back must return")
      ->group("Matching");
  app.add_option("--ratio", a.match.ratio, "nearest / second nearest below it; 1: off")
      ->group("Matching");
  app.add_option("--seed", a.seed, "of the stability test")->group("Matching");

  app.add_option("--device", a.device, "cpu or cuda")->group("Machine");
  app.add_option("--threads", a.threads, "0: all cores")->group("Machine");
}

/// Where the weights that come with the program lie: beside a checkout's bin/, or installed.
std::string bundled_weights() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto root = program.parent_path().parent_path();
  for (const char* place : {"ucn/weights", "share/cairn/weights"}) {
    const auto path = root / place / "resunetbn2f.safetensors";
    if (std::filesystem::exists(path, error)) return path;
  }
  throw Error(ErrorId::io, "match", "the bundled weights are not beside the program",
              "name a file with --weights");
}

/// Runs one stage and notes how long it took.
class Stages {
 public:
  template <class F>
  auto operator()(const char* name, F&& f) {
    const auto start = std::chrono::steady_clock::now();
    auto result = f();
    lines_ += line(name, std::chrono::duration<double>(std::chrono::steady_clock::now() - start));
    return result;
  }
  const std::string& lines() const { return lines_; }

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
  require(a.device == "cpu" || a.device == "cuda", ErrorId::usage, "match", "no device '", a.device,
          "'; there is cpu, cuda");
  require(a.keypoints == "corners" || a.keypoints == "grid", ErrorId::usage, "match",
          "no keypoints '", a.keypoints, "'; there is corners, grid");
  require(a.photo.scale > 0 && a.photo.scale <= 8, ErrorId::usage, "match",
          "--scale must lie above 0 and not above 8, not ", a.photo.scale);
  require(a.detect.max_keypoints > 0, ErrorId::usage, "match", "--max-keypoints must be positive");
  require(a.match.radius > 0 && a.match.ratio > 0, ErrorId::usage, "match",
          "--radius and --ratio must be positive");
  if (a.device == "cuda") Tensor::empty({1}, DType::f32, Device::cuda);  // says why not
  if (a.threads > 0) set_num_threads(a.threads);
  a.match.mode = match_mode(a.mode);
  a.match.reciprocity = !a.one_way;
  a.photo.respect_exif = !a.no_exif;
  const MatchStyle style = match_style(a.draw);

  Stages stage;
  const Weights weights = stage(
      "weights", [&] { return load_weights(a.weights.empty() ? bundled_weights() : a.weights); });
  ResUNet& network = *weights.network;
  const auto [photo0, photo1] = stage("reading", [&] {
    return std::pair(read_photo(a.photo0, network.config().inputs, a.photo),
                     read_photo(a.photo1, network.config().inputs, a.photo));
  });
  const Tensor features0 =
      stage("features of A", [&] { return extract_features(network, photo0.pixels); });
  const Tensor features1 =
      stage("features of B", [&] { return extract_features(network, photo1.pixels); });
  const auto [keypoints0, keypoints1] = stage(
      "keypoints", [&] { return std::pair(keypoints_of(a, photo0), keypoints_of(a, photo1)); });
  Random random(a.seed);
  const MatchResult result = stage("matching", [&] {
    return match(features0, features1, keypoints0, keypoints1, a.match, random);
  });

  std::error_code error;
  std::filesystem::create_directories(a.out, error);
  require(!error, ErrorId::io, "match", "cannot make the folder ", a.out, ": ", error.message());
  stage("writing", [&] {
    write_file_atomically(a.out + "/matches.csv", csv_of(result.matches, photo0, photo1), "match");
    write_png(a.out + "/matches.png", picture_of(result.matches, photo0, photo1, style));
    return 0;
  });

  const auto describe = [](const char* name, const std::string& path, const Photo& p) {
    std::printf("%s  %s: %lld x %lld, seen at %lld x %lld\n", name, path.c_str(),
                (long long)p.original.stored_width, (long long)p.original.stored_height,
                (long long)p.pixels.dim(1), (long long)p.pixels.dim(0));
  };
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
  std::printf("time\n%s", stage.lines().c_str());
  std::printf("peak memory              %.0f MB\n", double(memory_stats(Device::cpu).peak) / 1e6);
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

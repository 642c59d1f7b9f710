// prepare: makes training data ready, and shows it.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "bin/data_options.h"
#include "data/image.h"
#include "data/yfcc/yfcc.h"
#include "ucn/picture.h"
#include "ucn/training_data.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string raw, out;
  YfccPrepareOptions yfcc;
  TrainOptions train;
  int64_t shown = 8;
};

int prepare(const Arguments& a) {
  const bool terminal = isatty(STDOUT_FILENO);
  const auto parts =
      prepare_yfcc(a.raw, a.out, a.yfcc, [&](const YfccPart& part, int64_t through, int64_t all) {
        if (!terminal || (through % 50 != 0 && through != all)) return;
        std::printf("\r%-40s %6lld of %lld pairs ", (part.scene + "/" + part.phase).c_str(),
                    (long long)through, (long long)all);
        std::fflush(stdout);
      });
  if (terminal) std::printf("\n");
  int64_t pairs = 0;
  for (const YfccPart& part : parts) {
    for (const std::string& problem : part.problems) warn(problem);
    std::printf("%-40s %6lld pairs\n", (part.scene + "/" + part.phase).c_str(),
                (long long)part.pairs);
    pairs += part.pairs;
  }
  for (const char* phase : {"train", "val", "test"}) {
    const auto here = [&](const std::string& scene) {
      return std::ranges::any_of(parts, [&](const YfccPart& p) {
        return p.scene == scene && p.phase == phase && p.pairs > 0;
      });
    };
    const auto& scenes = yfcc_scenes(phase);
    std::printf("%-5s %lld of the %zu scenes that the split lists are here\n", phase,
                (long long)std::ranges::count_if(scenes, here), scenes.size());
  }
  require(pairs > 0, ErrorId::format, "prepare", "'", a.raw, "' gave no pair");
  return done;
}

/// Bars, one per range of values.
void print_histogram(const char* what, const std::vector<double>& values,
                     const std::vector<double>& edges) {
  std::printf("%s\n", what);
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    const auto n =
        std::ranges::count_if(values, [&](double v) { return v >= edges[i] && v < edges[i + 1]; });
    const auto bar =
        size_t(std::lround(40 * double(n) / std::max<double>(1, double(values.size()))));
    std::printf("  %7.4g to %-7.4g %5lld %s\n", edges[i], edges[i + 1], (long long)n,
                std::string(bar, '#').c_str());
  }
}

/// The similarity from view 0 to view 1 that fits best: its scale and its angle in degrees.
std::pair<double, double> similarity(const Pair& pair) {
  const int64_t n = pair.positions0.dim(0);
  const double *p = pair.positions0.data<double>(), *q = pair.positions1.data<double>();
  double mean[4]{}, a = 0, b = 0, square = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int k : {0, 1})
      mean[k] += p[2 * i + k] / double(n), mean[2 + k] += q[2 * i + k] / double(n);
  for (int64_t i = 0; i < n; ++i) {
    const double x = p[2 * i] - mean[0], y = p[2 * i + 1] - mean[1];
    const double u = q[2 * i] - mean[2], v = q[2 * i + 1] - mean[3];
    a += x * u + y * v;
    b += x * v - y * u;
    square += x * x + y * y;
  }
  return {std::hypot(a, b) / square, std::atan2(b, a) * 180 / M_PI};
}

Tensor drawn(const Pair& pair) {
  const auto picture = [](const Tensor& image) {
    Tensor p = image.clone();
    for (float& v : p.span<float>()) v = std::clamp((v + 0.5f) * 255 + 0.5f, 0.f, 255.f);
    return resize_area(p.to(DType::u8), 3 * p.dim(0), 3 * p.dim(1));
  };
  std::vector<PointPair> matches;
  const int64_t n = pair.positions0.dim(0), step = std::max<int64_t>(1, n / 40);
  for (int64_t i = 0; i < n; i += step) {
    const double *p = pair.positions0.data<double>() + 2 * i,
                 *q = pair.positions1.data<double>() + 2 * i;
    const auto enlarged = [](double v) { return 3 * (v + 0.5) - 0.5; };
    matches.push_back({enlarged(p[0]), enlarged(p[1]), enlarged(q[0]), enlarged(q[1])});
  }
  return draw_points({picture(pair.image0), picture(pair.image1), matches}).image;
}

int show(const Arguments& a) {
  check(a.train);
  const TrainingData data = open_training_data(a.train);
  std::printf("%s\n", data.train->description().c_str());
  std::error_code error;
  std::filesystem::create_directories(a.out, error);
  require(!error, ErrorId::io, "prepare", "cannot make the folder '", a.out,
          "': ", error.message());
  std::vector<double> counts, sights, turns, scales;
  for (int64_t k = 0; k < std::max<int64_t>(a.shown, 100); ++k) {
    Random random(a.train.seed, uint64_t(k));
    const Pair pair = data.train->get(random.below(data.train->size()), random);
    counts.push_back(double(pair.positions0.dim(0)));
    if (std::isfinite(pair.angle)) sights.push_back(pair.angle);
    if (pair.positions0.dim(0) >= 3) {
      const auto [scale, angle] = similarity(pair);
      scales.push_back(scale);
      turns.push_back(std::fabs(angle));
    }
    if (k >= a.shown) continue;
    const std::string path = cat(a.out, "/pair-", k, ".png");
    write_png(path, drawn(pair));
    std::printf("%s  %lld correspondences  %s\n", path.c_str(), (long long)pair.positions0.dim(0),
                pair.name.c_str());
  }
  for (const BrokenPhoto& broken : data.train->broken()) warn("skipped " + broken.message);
  std::printf("\nof %zu pairs\n", counts.size());
  print_histogram("correspondences in a pair", counts, {0, 1, 8, 16, 32, 64, 128, 512, 2048, 1e6});
  print_histogram("angle between the lines of sight of two cameras, degrees", sights,
                  {0, 5, 10, 15, 20, 30, 45, 90, 180.1});
  print_histogram("turn of the second view, degrees", turns, {0, 5, 10, 20, 30, 45, 90, 180.1});
  print_histogram("its scale", scales, {0, 0.5, 0.7, 0.9, 1.1, 1.4, 2, 1e3});
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  // The first word says which of the two is asked for; each has its own flags and help.
  const std::string command = argc > 1 ? argv[1] : "";
  Arguments a;
  if (command != "yfcc" && command != "show") {
    CLI::App app(
        "Makes training data ready, and shows it.\n"
        "  prepare yfcc --raw DIR --out DIR     pair files of YFCC100M, for train --yfcc-pairs\n"
        "  prepare show --images DIR --out DIR  draws sampled pairs (any source of train)\n"
        "Each says more with --help.",
        "prepare");
    return run_program(
        app, argc, argv, [&] { app.allow_extras(); },
        [&]() -> int {
          throw Error(ErrorId::usage, "prepare",
                      cat("'", command, "' is not yfcc or show (prepare --help shows more)"));
        });
  }
  const bool yfcc = command == "yfcc";
  CLI::App app(yfcc ? "Writes the pair files of YFCC100M in OANet's layout."
                    : "Draws sampled training pairs with their correspondences, and counts them.",
               "prepare " + command);
  const auto options = [&] {
    app.option_defaults()->always_capture_default();
    app.option_defaults()->group("Files");
    app.add_option("--out", a.out, yfcc ? "folder of the pair files" : "folder of the pictures")
        ->required()
        ->type_name("DIR");
    if (yfcc) {
      app.add_option("--raw", a.raw, "YFCC100M in OANet's layout")->required()->type_name("DIR");
      app.option_defaults()->group("Pairs");
      app.add_option("--pairs", a.yfcc.pairs, "at most, of each scene and phase")
          ->check(positive());
      app.add_option("--min-visibility", a.yfcc.min_visibility, "a pair shares more points")
          ->check(not_negative());
      return;
    }
    add_source_options(app, a.train);
    app.option_defaults()->group("Pairs");
    app.add_option("--pairs", a.shown, "to draw")->check(positive());
    app.add_option("--seed", a.train.seed, "of what is drawn")->check(not_negative());
    add_pair_options(app, a.train);
  };
  argv[1] = argv[0];  // it is the program's name that counts, not the command's
  return run_program(app, argc - 1, argv + 1, options, [&] { return yfcc ? prepare(a) : show(a); });
}

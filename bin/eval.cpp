// eval: how well features match photos whose true correspondences are known.
#include <cmath>
#include <filesystem>

#include "bin/program.h"
#include "data/geometry/homography.h"
#include "tensor/file.h"
#include "ucn/keypoints.h"
#include "ucn/matcher.h"
#include "ucn/photo.h"
#include "ucn/weights.h"

using namespace cairn;
using namespace cairn::ucn;

namespace {

struct Arguments {
  std::string list, weights;
  Machine machine;
  PhotoOptions photo{.respect_exif = false, .max_size = 1024};
  int64_t points = 2000;
  double radius = 4;
};

/// A line of the list: img0 img1 h11 h12 ... h33, with x1 ~ H x0; (0, 0) is the centre of the
/// top-left pixel.
struct HomographyPair {
  std::string photo0, photo1;
  Homography map;
};

std::vector<HomographyPair> read_list(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  std::vector<HomographyPair> pairs;
  for (const std::string& line : read_lines(path, "eval")) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    HomographyPair pair;
    words >> pair.photo0 >> pair.photo1;
    for (double& v : pair.map) words >> v;
    std::string more;
    require(!words.fail() && !(words >> more), ErrorId::format, "eval", "'", path, "': '",
            line.substr(0, 60), "' is not two photos and nine numbers");
    pair.photo0 = folder / pair.photo0;
    pair.photo1 = folder / pair.photo1;
    pairs.push_back(pair);
  }
  require(!pairs.empty(), ErrorId::format, "eval", "'", path, "' lists no pair");
  return pairs;
}

/// The inverse of Photo::to_stored, of photos that are not turned.
Point to_seen(const Photo& p, const Point& v) {
  return {(v[0] + 0.5) * double(p.pixels.dim(1)) / double(p.original.width()) - 0.5,
          (v[1] + 0.5) * double(p.pixels.dim(0)) / double(p.original.height()) - 0.5};
}

/// Points of a grid over photo 0 that photo 1 shows too, and where: K x 2 f64 each.
std::array<Tensor, 2> correspondences(const Photo& p0, const Photo& p1, const Homography& map,
                                      int64_t points) {
  const Tensor grid = grid_keypoints(p0.pixels.dim(0), p0.pixels.dim(1), {.max_keypoints = points});
  std::vector<double> from, to;
  for (int64_t k = 0; k < grid.dim(0); ++k) {
    const Point v{double(grid.data<int64_t>()[2 * k]), double(grid.data<int64_t>()[2 * k + 1])};
    const Point original = p0.to_stored(v[0], v[1]);
    const Point w = to_seen(p1, apply(map, original[0], original[1]));
    if (!(w[0] >= 0 && w[1] >= 0 && w[0] <= double(p1.pixels.dim(1) - 1) &&
          w[1] <= double(p1.pixels.dim(0) - 1)))
      continue;
    from.insert(from.end(), v.begin(), v.end());
    to.insert(to.end(), w.begin(), w.end());
  }
  const auto count = int64_t(from.size()) / 2;
  return {Tensor::from({count, 2}, from), Tensor::from({count, 2}, to)};
}

int evaluate(const Arguments& a) {
  const Device device = a.machine.use();
  const auto pairs = read_list(a.list);
  const Weights weights = load_weights(a.weights);
  weights.network->to(device);
  FeatureExtractor extract(*weights.network);
  const int64_t channels = weights.network->config().inputs;
  std::printf("%-40s %7s %7s %12s %16s\n", "pair", "points", "hit", "reciprocity",
              "reciprocity hit");
  HitRatios mean;
  for (const HomographyPair& pair : pairs) {
    const Photo p0 = read_photo(pair.photo0, channels, a.photo);
    const Photo p1 = read_photo(pair.photo1, channels, a.photo);
    const auto [from, to] = correspondences(p0, p1, pair.map, a.points);
    const auto shown = [](const std::string& path) {
      const std::filesystem::path p(path);
      return (p.parent_path().filename() / p.filename()).string();
    };
    require(from.dim(0) > 0, ErrorId::format, "eval", "by its homography, ", shown(pair.photo0),
            " shows nothing of ", shown(pair.photo1));
    const HitRatios r = hit_ratios(extract(p0.pixels), extract(p1.pixels), from, to, a.radius);
    std::printf("%-40s %7lld %7.3f %12.3f %16.3f\n",
                (shown(pair.photo0) + " " + shown(pair.photo1)).c_str(), (long long)from.dim(0),
                r.hit, r.reciprocity, r.reciprocity_hit);
    std::fflush(stdout);
    mean.hit += r.hit / double(pairs.size());
    mean.reciprocity += r.reciprocity / double(pairs.size());
    mean.reciprocity_hit += r.reciprocity_hit / double(pairs.size());
  }
  std::printf("%-40s %7s %7.3f %12.3f %16.3f\n", "mean", "", mean.hit, mean.reciprocity,
              mean.reciprocity_hit);
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures how well features match pairs of photos with a known homography.", "eval");
  Arguments a;
  const auto options = [&] {
    app.option_defaults()->always_capture_default();
    app.option_defaults()->group("Evaluation");
    app.add_option("LIST", a.list, "lines of: photo0 photo1 h11 ... h33, x1 ~ H x0")->required();
    app.add_option("--weights", a.weights, "of the network")->required()->type_name("FILE");
    app.add_option("--max-size", a.photo.max_size, "longer photos are reduced to it; 0: never")
        ->check(not_negative());
    app.add_option("--points", a.points, "of a grid over the first photo, at most")
        ->check(positive());
    app.add_option("--radius", a.radius, "px: a match this near is a hit")->check(positive());
    a.machine.add_options(app, "Machine");
  };
  return run_program(app, argc, argv, options, [&] { return evaluate(a); });
}

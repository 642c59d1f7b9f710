// eval: how good the matches of photos are whose geometry is known.
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bin/matcher_options.h"
#include "data/sift/sift.h"
#include "tensor/file.h"
#include "tensor/kernels/nearest/nearest.h"
#include "ucn/evaluation/dataset.h"
#include "ucn/evaluation/metrics.h"
#include "ucn/match_files.h"

using namespace cairn;
using namespace cairn::ucn;
using nlohmann::ordered_json;

namespace {

struct Arguments {
  std::string dataset, baseline, matches, write_matches, json;
  MatcherFlags matcher;
  bool hits = false;
  int64_t pairs = 0, warps = 100, samples = 1000;
  double difficulty = 1, rotation = 45, homography_threshold = 3, essential_threshold = 1;
};

void add_options(CLI::App& app, Arguments& a) {
  app.option_defaults()->always_capture_default();
  app.option_defaults()->group("What is measured");
  app.add_option("DATASET", a.dataset, "lists of pairs, HPatches' layout, or a folder of photos")
      ->required();
  app.add_option("--pairs", a.pairs, "of each set, evenly spaced; 0: all")->check(not_negative());
  app.add_option("--warps", a.warps, "pairs that are made of a folder of photos")
      ->check(positive());
  app.add_option("--difficulty", a.difficulty, "of the warps")
      ->check(number("in 0..2", [](double v) { return v >= 0 && v <= 2; }));
  app.add_option("--rotation", a.rotation, "between two warps, degrees, times the difficulty")
      ->check(number("in 0..360", [](double v) { return v >= 0 && v <= 360; }));
  app.add_option("--baseline", a.baseline, "sift: RootSIFT as well")
      ->check(CLI::IsMember({"sift"}));
  app.add_option("--matches", a.matches, "score these files (NAME.csv, NAME_matches.npz) instead")
      ->type_name("DIR");
  app.add_flag("--hits", a.hits, "hit ratios of the features too (homographies)");

  app.option_defaults()->group("How");
  app.add_option("--homography-threshold", a.homography_threshold, "px, at a short side of 480")
      ->check(positive());
  app.add_option("--essential-threshold", a.essential_threshold, "px")->check(positive());
  app.add_option("--bootstrap", a.samples, "resamplings for the 95 % intervals; 0: none")
      ->check(not_negative());
  app.add_option("--json", a.json, "write all numbers")->type_name("FILE");
  app.add_option("--write-matches", a.write_matches, "write the matches as METHOD/NAME_matches.npz")
      ->type_name("DIR");
  a.matcher.add_options(app, "Geometry");
}

/// A pair's photos, upright, with the way back to the stored pixels.
struct Photos {
  Image image0, image1;
  explicit Photos(const KnownPair& p) {
    constexpr int upright[] = {1, 8, 3, 6};  // by quarter turns clockwise
    const auto read = [&](const Tensor& made, const std::string& path, int turns) {
      if (made.defined()) return oriented(made, 1);
      const Image stored = read_image(path, {.respect_exif = false});
      return oriented(stored.pixels, upright[turns]);
    };
    image0 = read(p.image0, p.photo0, p.rotation0);
    image1 = read(p.image1, p.photo1, p.rotation1);
  }
};

struct Matched {
  MatchFile file;  ///< matches of methods of ours come best first
  double seconds = NAN;
  HitRatios hits = {};
};

struct Method {
  std::string name, protocol;
  std::function<Matched(const KnownPair&, const Photos&)> run;
};

/// Points of a grid over photo 0 that photo 1 shows too, and where, in the seen pixels: K x 2 f64.
std::array<Tensor, 2> correspondences(const KnownPair& pair, const Photo& p0, const Photo& p1) {
  const Tensor grid = grid_keypoints(p0.pixels.dim(0), p0.pixels.dim(1), {});
  std::vector<double> from, to;
  for (int64_t k = 0; k < grid.dim(0); ++k) {
    const Point v{double(grid.data<int64_t>()[2 * k]), double(grid.data<int64_t>()[2 * k + 1])};
    const Point a = p0.to_stored(v[0], v[1]), b = apply(*pair.homography, a[0], a[1]);
    const Point w{(b[0] + 0.5) * double(p1.pixels.dim(1)) / double(p1.original.width()) - 0.5,
                  (b[1] + 0.5) * double(p1.pixels.dim(0)) / double(p1.original.height()) - 0.5};
    if (!(w[0] >= 0 && w[1] >= 0 && w[0] <= double(p1.pixels.dim(1) - 1) &&
          w[1] <= double(p1.pixels.dim(0) - 1)))
      continue;
    from.insert(from.end(), v.begin(), v.end());
    to.insert(to.end(), w.begin(), w.end());
  }
  const auto count = int64_t(from.size()) / 2;
  return {Tensor::from({count, 2}, from), Tensor::from({count, 2}, to)};
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Method cairn_method(const Arguments& a, PhotoMatcher& matcher, ResUNet& network,
                    const std::string& weights) {
  const auto run = [&](const KnownPair& pair, const Photos& photos) {
    Matched r;
    const auto start = std::chrono::steady_clock::now();
    const auto photo = [&](const Image& image) {
      return as_photo(image, network.config().inputs, matcher.options().photo);
    };
    Photo photo0 = photo(photos.image0), photo1 = photo(photos.image1);
    const auto look = matcher.first_look(photo0, photo1);
    const PreparedPhoto p0 = matcher.prepare(std::move(photo0), look, 0);
    const PreparedPhoto p1 = matcher.prepare(std::move(photo1), look, 1);
    const PhotoMatches found = matcher.match(p0, p1);
    r.seconds = since(start);
    r.file = as_file(found);
    if (a.hits && pair.homography) {
      const auto [from, to] = correspondences(pair, p0.photo, p1.photo);
      r.hits = hit_ratios(matcher.extractor()(p0.photo.pixels),
                          matcher.extractor()(p1.photo.pixels), from, to);
    }
    return r;
  };
  return {"cairn", cat(weights, "; ", a.matcher.describe()), run};
}

/// What OpenCV's RootSIFT gives with 4000 keypoints, mutual nearest neighbours, and Lowe's ratio of
/// 0.8.
Method sift_method() {
  const auto run = [](const KnownPair&, const Photos& photos) {
    Matched r;
    const auto start = std::chrono::steady_clock::now();
    const SiftOptions options{.max_keypoints = 4000, .root = true};
    const SiftFeatures f0 = sift(to_gray(photos.image0.pixels), options);
    const SiftFeatures f1 = sift(to_gray(photos.image1.pixels), options);
    const auto both = kernels::nearest_both(f0.descriptors, f1.descriptors);
    const auto& there = both.forward;
    struct Found {
      double ratio;
      PointPair pair;
      double score;
    };
    std::vector<Found> found;
    for (size_t k = 0; k < f0.keypoints.size() && !f1.keypoints.empty(); ++k) {
      const int64_t end = there.index.data<int64_t>()[k];
      const double d = std::sqrt(double(there.distance.data<float>()[k]));
      const double second = std::sqrt(double(there.second.data<float>()[k]));
      if (both.back.data<int64_t>()[end] != int64_t(k) || !(d < 0.8 * second)) continue;
      const SiftKeypoint &p = f0.keypoints[k], &q = f1.keypoints[size_t(end)];
      const auto a0 = photos.image0.to_stored(p.x, p.y), a1 = photos.image1.to_stored(q.x, q.y);
      found.push_back({d / second, {a0[0], a0[1], a1[0], a1[1]}, 1 - d * d / 2});
    }
    std::ranges::stable_sort(found, {}, &Found::ratio);
    for (const Found& f : found) {
      r.file.matches.push_back(f.pair);
      r.file.scores.push_back(f.score);
    }
    r.seconds = since(start);
    return r;
  };
  return {"sift", "RootSIFT, at most 4000 keypoints, contrast 0.04, mutual, ratio 0.8", run};
}

/// By score: what others' files say of their matches.
MatchFile best_first(MatchFile file) {
  std::vector<size_t> order(file.matches.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::ranges::stable_sort(order, std::greater{}, [&](size_t k) { return file.scores[k]; });
  const MatchFile read = file;
  for (size_t k = 0; k < order.size(); ++k) {
    file.matches[k] = read.matches[order[k]];
    file.scores[k] = read.scores[order[k]];
  }
  return file;
}

Method files_method(const std::string& folder) {
  const auto run = [folder](const KnownPair& pair, const Photos&) {
    const auto stem = [](const std::string& path) {
      return std::filesystem::path(path).stem().string();
    };
    std::error_code error;
    for (const std::string& name : {pair.name, stem(pair.photo0) + "_" + stem(pair.photo1)})
      for (const char* ending : {"_matches.npz", ".npz", ".csv"})
        if (const std::string path = cat(folder, "/", name, ending);
            std::filesystem::exists(path, error))
          return Matched{best_first(read_matches(path))};
    throw Error(
        ErrorId::io, "eval",
        cat("'", folder, "' has no ", pair.name, "_matches.npz and no ", pair.name, ".csv"));
  };
  return {"files", cat("the files in ", folder), run};
}

std::string matches_folder(const Arguments& a, const Method& m) {
  return a.write_matches + "/" + m.name;
}

/// What one pair of photos gave.
struct Row {
  std::string pair;
  bool homography = false, still = false;
  int64_t matches = 0;
  double seconds = NAN;
  std::array<double, 10> accuracy{};
  double local = NAN, plain = NAN;  ///< corner error, or pose error, with either RANSAC
  int64_t inliers = 0;
  double estimation = 0;  ///< seconds that LO-RANSAC took
  HitRatios hits = {};
};

/// True where the homography moves no corner by 3 % of the width: standing still finds the match.
bool stands_still(const KnownPair& p, const Image& image) {
  const double w = double(image.stored_width), h = double(image.stored_height);
  return p.illumination ||
         (p.homography && corner_error(*p.homography, identity_homography(), w, h) < 0.03 * w);
}

Row measure(const Arguments& a, const KnownPair& pair, const Photos& photos, const Matched& m) {
  Row r{pair.name, pair.homography.has_value(), stands_still(pair, photos.image0),
        int64_t(m.file.matches.size()), m.seconds};
  r.hits = m.hits;
  std::vector<PointPair> matches = m.file.matches;
  RansacOptions ransac{.seed = a.matcher.options.correspond.seed};
  const auto timed = [&](bool local, auto&& estimate) {
    const auto start = std::chrono::steady_clock::now();
    const TwoView model = estimate();
    if (local) {
      r.inliers = model.inliers;
      r.estimation = since(start);
    }
    return model;
  };
  if (pair.homography) {
    r.accuracy = matching_accuracy(matches, *pair.homography);
    const auto reduction = [](const Image& i) {
      return 480 / double(std::min(i.stored_width, i.stored_height));
    };
    const double s0 = reduction(photos.image0), s1 = reduction(photos.image1);
    const auto scaled = [](double& v, double s) { v = (v + 0.5) * s - 0.5; };
    for (PointPair& p : matches) {
      scaled(p.x0, s0);
      scaled(p.y0, s0);
      scaled(p.x1, s1);
      scaled(p.y1, s1);
    }
    const auto to_reduced = [](double s) {
      return compose(translation(s / 2 - 0.5, s / 2 - 0.5), scaling(s, s));
    };
    const Homography truth =
        compose(to_reduced(s1), compose(*pair.homography, inverse(to_reduced(s0))));
    ransac.threshold = a.homography_threshold;
    for (const bool local : {true, false}) {
      ransac.local_optimization = ransac.best_first = local;
      const TwoView model =
          timed(local, [&] { return estimate_geometry(Geometry::homography, matches, ransac); });
      (local ? r.local : r.plain) =
          model.inliers == 0
              ? INFINITY
              : corner_error(model.matrix, truth, s0 * double(photos.image0.stored_width),
                             s0 * double(photos.image0.stored_height));
    }
  } else {
    ransac.threshold = a.essential_threshold;
    for (const bool local : {true, false}) {
      ransac.local_optimization = ransac.best_first = local;
      const TwoView model = timed(local, [&] {
        return estimate_geometry(Geometry::essential, matches, ransac, pair.pose->cameras);
      });
      (local ? r.local : r.plain) =
          model.inliers == 0
              ? INFINITY
              : pose_error(relative_pose(model, matches, pair.pose->cameras), pair.pose->pose);
    }
  }
  return r;
}

/// A number of the table, and how it comes from the rows of some pairs.
struct Column {
  std::string name;
  std::function<double(const std::vector<const Row*>&)> value;
};

std::vector<Column> columns(bool homography, bool hits, bool timed) {
  using Rows = std::vector<const Row*>;
  const auto mean = [](auto&& f) {
    return [f](const Rows& rows) {
      double sum = 0;
      for (const Row* r : rows) sum += f(*r);
      return sum / std::max(1.0, double(rows.size()));
    };
  };
  const auto area = [](double threshold, double Row::*error) {
    return [=](const Rows& rows) {
      std::vector<double> errors;
      for (const Row* r : rows) errors.push_back(r->*error);
      return area_under_curve(errors, threshold);
    };
  };
  std::vector<Column> c = {{"matches", mean([](const Row& r) { return double(r.matches); })}};
  if (homography)
    for (const size_t t : {1, 2, 3, 5, 10})
      c.push_back({cat("MMA@", t), mean([=](const Row& r) { return r.accuracy[t - 1]; })});
  for (const double t : homography ? std::vector{1.0, 3.0, 5.0} : std::vector{5.0, 10.0, 20.0}) {
    c.push_back({cat("AUC@", t), area(t, &Row::local)});
    c.push_back({cat("plain@", t), area(t, &Row::plain)});
  }
  if (homography && hits) {
    c.push_back({"hit", mean([](const Row& r) { return r.hits.hit; })});
    c.push_back({"recip", mean([](const Row& r) { return r.hits.reciprocity; })});
    c.push_back({"rec hit", mean([](const Row& r) { return r.hits.reciprocity_hit; })});
  }
  if (timed) c.push_back({"s/pair", mean([](const Row& r) { return r.seconds; })});
  return c;
}

ordered_json json_of(const Row& r) {
  const auto number = [](double v) { return std::isfinite(v) ? ordered_json(v) : ordered_json(); };
  ordered_json j = {{"pair", r.pair},
                    {"matches", r.matches},
                    {"inliers", r.inliers},
                    {"seconds", number(r.seconds)},
                    {"ransac_seconds", r.estimation},
                    {r.homography ? "corner_error" : "pose_error", number(r.local)},
                    {r.homography ? "corner_error_plain" : "pose_error_plain", number(r.plain)}};
  if (r.homography) {
    j["accuracy"] = r.accuracy;
    j["stands_still"] = r.still;
  }
  return j;
}

/// Prints the table of a set and returns its numbers.
ordered_json report(const Arguments& a, const KnownPairs& set, const std::vector<Method>& methods,
                    const std::vector<std::vector<Row>>& rows) {
  const bool homography = rows[0][0].homography;
  ordered_json result = {{"set", set.name}, {"kind", homography ? "homography" : "pose"}};
  // Pairs that stand still are told apart: there some keypoints find what is no merit.
  struct Part {
    std::string name;
    std::function<bool(const Row&)> of;
  };
  std::vector<Part> parts = {{"all", [](const Row&) { return true; }}};
  const auto still = std::ranges::count_if(rows[0], &Row::still);
  if (still > 0 && still < int64_t(rows[0].size())) {
    parts.push_back({"moved", [](const Row& r) { return !r.still; }});
    parts.push_back({"still", [](const Row& r) { return r.still; }});
  }
  std::printf("\n%s: %zu pairs, %s\n", set.name.c_str(), rows[0].size(),
              homography ? "homographies" : "poses");
  for (const Part& part : parts)
    for (size_t m = 0; m < methods.size(); ++m) {
      std::vector<const Row*> some;
      for (const Row& r : rows[m])
        if (part.of(r)) some.push_back(&r);
      const auto table = columns(homography, a.hits && methods[m].name == "cairn",
                                 std::isfinite(rows[m][0].seconds));
      std::printf("%-14s", cat(methods[m].name, " ", part.name).c_str());
      for (const Column& c : table) std::printf(" %8s", c.name.c_str());
      std::printf("\n%-14s", cat("  ", some.size(), " pairs").c_str());
      ordered_json numbers;
      for (const Column& c : table) {
        const double v = c.value(some);
        std::printf(c.name == "matches" ? " %8.0f" : " %8.3f", v);
        numbers[c.name] = v;
      }
      std::printf("\n");
      if (a.samples > 0) {
        std::string low = "  95 %, from", high = "        to";
        char text[16];
        for (const Column& c : table) {
          const auto interval =
              bootstrap(int64_t(some.size()), a.samples, [&](std::span<const int64_t> drawn) {
                std::vector<const Row*> sample;
                for (const int64_t d : drawn) sample.push_back(some[size_t(d)]);
                return c.value(sample);
              });
          numbers[c.name + " 95%"] = interval;
          low.resize(14 + 9 * size_t(&c - table.data()), ' ');
          high.resize(14 + 9 * size_t(&c - table.data()), ' ');
          std::snprintf(text, sizeof text, c.name == "matches" ? " %8.0f" : " %8.3f", interval[0]);
          low += text;
          std::snprintf(text, sizeof text, c.name == "matches" ? " %8.0f" : " %8.3f", interval[1]);
          high += text;
        }
        std::printf("%s\n%s\n", low.c_str(), high.c_str());
      }
      ordered_json& method = result["methods"][methods[m].name];
      method[part.name] = numbers;
      if (&part == &parts[0])
        for (const Row& r : rows[m]) method["pairs"].push_back(json_of(r));
    }
  return result;
}

int evaluate(Arguments& a) {
  const Device device = a.matcher.machine.use();
  a.matcher.resolve(device);
  auto sets = find_known_pairs(a.dataset);
  if (sets.empty()) {
    HomographyPairsOptions warps;
    warps.views = {.height = 480, .width = 640, .difficulty = a.difficulty, .rotation = a.rotation};
    sets.push_back(warped_pairs(a.dataset, a.warps, warps, a.matcher.options.correspond.seed));
  }
  for (KnownPairs& set : sets) {
    for (const KnownPair& p : set.pairs)
      require(p.homography.has_value() == set.pairs[0].homography.has_value(), ErrorId::format,
              "eval", "'", set.name, "' mixes homographies and poses in one list");
    const auto n = int64_t(set.pairs.size());
    if (a.pairs == 0 || a.pairs >= n) continue;
    for (int64_t k = 0; k < a.pairs; ++k) set.pairs[size_t(k)] = set.pairs[size_t(k * n / a.pairs)];
    set.pairs.resize(size_t(a.pairs));
  }

  std::vector<Method> methods;
  Weights weights;
  std::optional<PhotoMatcher> matcher;
  if (a.matches.empty()) {
    weights = a.matcher.load(device);
    matcher.emplace(*weights.network, a.matcher.options);
    const std::string origin = a.matcher.weights.empty() ? default_model : a.matcher.weights;
    methods.push_back(cairn_method(a, *matcher, *weights.network, origin));
  } else {
    methods.push_back(files_method(a.matches));
  }
  if (!a.baseline.empty()) methods.push_back(sift_method());
  if (!a.write_matches.empty())
    for (const Method& m : methods) {
      std::error_code error;
      std::filesystem::create_directories(matches_folder(a, m), error);
      require(!error, ErrorId::io, "eval", "cannot make the folder '", matches_folder(a, m),
              "': ", error.message());
    }

  ordered_json protocol;
  for (const Method& m : methods) protocol[m.name] = m.protocol;
  protocol["MMA"] = "share of matches within t px of the truth, photos' own size, mean over pairs";
  protocol["homography AUC"] =
      cat("of the corners' mean error, px at a short side of 480; LO-RANSAC, plain: RANSAC, both ",
          a.homography_threshold, " px");
  protocol["pose AUC"] =
      cat("of the larger of the errors in rotation and direction, degrees; essential matrix by "
          "LO-RANSAC or RANSAC, ",
          a.essential_threshold, " px");
  protocol["time"] =
      cat("of features and matching, decoding aside, on ", describe(device, a.matcher.precision));
  if (a.samples > 0)
    protocol["intervals"] = cat("95 % of ", a.samples, " resamplings of the pairs");
  std::printf("protocol\n");
  for (const auto& [name, text] : protocol.items())
    std::printf("  %-15s %s\n", name.c_str(), text.get<std::string>().c_str());
  const auto& o = a.matcher.options;
  if (a.matches.empty() &&
      (o.correspond.mode == MatchMode::all_all || o.keypoints.kind == KeypointKind::grid))
    std::printf(
        "  %-15s where nothing moved, a grid or all pixels find matches by standing still:\n"
        "  %-15s MMA of such pairs (still) is inflated\n",
        "note", "");

  ordered_json results = ordered_json::array();
  for (const KnownPairs& set : sets) {
    std::vector<std::vector<Row>> rows(methods.size());
    for (const KnownPair& pair : set.pairs) {
      const Photos photos(pair);
      for (size_t m = 0; m < methods.size(); ++m) {
        const Matched matched = methods[m].run(pair, photos);
        rows[m].push_back(measure(a, pair, photos, matched));
        if (!a.write_matches.empty())
          write_superglue_npz(matches_folder(a, methods[m]) + "/" + pair.name + "_matches.npz",
                              matched.file);
      }
    }
    results.push_back(report(a, set, methods, rows));
    std::fflush(stdout);
  }
  if (!a.json.empty())
    write_file_atomically(
        a.json, ordered_json{{"protocol", protocol}, {"sets", results}}.dump(1) + "\n", "eval");
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures matches on photos whose geometry is known.", "eval");
  app.footer(
      "eval hpatches-sequences-release --baseline sift\tbeside RootSIFT\n"
      "eval pairs_homography.txt --model run/weights.safetensors --json numbers.json\tall numbers\n"
      "eval photos --warps 50\tany folder of photos, warped");
  Arguments a;
  return run_program(
      app, argc, argv, [&] { add_options(app, a); }, [&] { return evaluate(a); });
}

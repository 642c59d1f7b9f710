#include "ucn/folder_matcher.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <set>
#include <sstream>

#include "data/file_cache.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/worker.h"
#include "ucn/folder_store.h"
#include "ucn/same_scene.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Everything that features depend on, and then all else that matches do.
std::string feature_settings(const PhotoMatcherOptions& o, const std::string& weights) {
  std::string text =
      cat("format 6, weights ", weights, ", exif ", o.photo.respect_exif, ", scale ", o.photo.scale,
          ", max-size ", o.photo.max_size, ", keypoints ", int(o.keypoints.kind), " ",
          o.keypoints.max_keypoints, " ", o.keypoints.contrast, ", rotations ", o.rotations,
          ", tile ", o.tile, ", scales");
  for (const double s : o.scales) text += cat(" ", s);
  return text;
}
std::string match_settings(const CorrespondOptions& c, const FolderOptions& o) {
  std::string text = cat(", reciprocity ", c.reciprocity, ", similarity ", c.min_similarity,
                         ", ratio ", c.ratio, ", probability ", c.min_probability, ", temperature ",
                         c.temperature, ", support ", c.support, ", verify ", name_of(o.verify),
                         ", threshold ", o.ransac.threshold, ", seed ", o.ransac.seed);
  for (const double f : o.focal) text += cat(", focal ", f);
  return text;
}

FolderResults::Pair match_pair(const PhotoMatcher& matcher, const StoredFeatures& f0,
                               const StoredFeatures& f1, const FolderOptions& o) {
  const auto best = matcher.match_views(f0.views, f1.views);
  FolderResults::Pair pair;
  std::vector<PointPair> points;
  for (const Correspondence& m : best.found.matches) {
    pair.matches.push_back({int32_t(m.keypoint0), int32_t(m.keypoint1)});
    pair.scores.push_back(float(m.score));
    const double *a = f0.keypoints.data<double>() + 2 * m.keypoint0,
                 *b = f1.keypoints.data<double>() + 2 * m.keypoint1;
    points.push_back({a[0], a[1], b[0], b[1]});
  }
  if (o.verify == Geometry::none) return pair;
  std::array<Intrinsics, 2> cameras;
  for (size_t k = 0; k < 2; ++k) {
    const StoredFeatures& f = k == 0 ? f0 : f1;
    const double focal = o.focal.empty() ? 1.2 * double(std::max(f.width, f.height)) : o.focal[0];
    cameras[k] = {focal, focal, double(f.width - 1) / 2, double(f.height - 1) / 2};
  }
  pair.geometry = estimate_geometry(o.verify, points, o.ransac, cameras);
  pair.same_scene = same_scene(points, pair.geometry, o.ransac);
  return pair;
}

NamePair ordered(std::string a, std::string b) {
  return a < b ? NamePair(std::move(a), std::move(b)) : NamePair(std::move(b), std::move(a));
}

/// What is done, told to one caller at a time, from the stages of a run that work side by side.
class Progress {
 public:
  Progress(int64_t photos, int64_t pairs, const FolderProgress& tell)
      : tell_(tell), now_{0, photos, 0, pairs, 0} {}
  /// A photo more, after `took` seconds; `dropped` pairs with it are out of question.
  void photo(double took, int64_t dropped) { add(now_.photos, took, photo_seconds_, dropped); }
  void pair(double took) { add(now_.pairs, took, pair_seconds_, 0); }

 private:
  void add(int64_t& count, double took, double& seconds, int64_t dropped) {
    std::lock_guard lock(mutex_);
    ++count;
    seconds += took;
    now_.all_pairs -= dropped;
    const auto left = [](double taken, int64_t done, int64_t all) {
      return done > 0 ? taken / double(done) * double(all - done) : 0;
    };
    // Side by side, the stage that needs longest decides.
    now_.seconds_left = std::max(left(photo_seconds_, now_.photos, now_.all_photos),
                                 left(pair_seconds_, now_.pairs, now_.all_pairs));
    tell_(now_);
  }
  const FolderProgress& tell_;
  std::mutex mutex_;  // guards all below
  FolderDone now_;
  double photo_seconds_ = 0, pair_seconds_ = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A photo ready for the network, or why it cannot be read.
struct Decoded {
  std::optional<Photo> photo;
  Tensor keypoints;
  std::string stamp, trouble;
};
Decoded decode(const PhotoMatcher& matcher, const fs::path& path) {
  Decoded d;
  d.stamp = photo_stamp(path);
  try {
    Photo photo = matcher.read(path);
    d.keypoints = matcher.detect(photo);
    d.photo = std::move(photo);
  } catch (const Error& e) {
    if (e.id() != ErrorId::io && e.id() != ErrorId::format) throw;
    d.trouble = e.what();
  }
  return d;
}

}  // namespace

std::vector<NamePair> exhaustive_pairs(const std::vector<std::string>& names) {
  return sequential_pairs(names, int64_t(names.size()));
}
std::vector<NamePair> sequential_pairs(const std::vector<std::string>& names, int64_t window) {
  std::vector<NamePair> pairs;
  for (size_t i = 0; i < names.size(); ++i)
    for (size_t j = i + 1; j < names.size() && j <= i + size_t(window); ++j)
      pairs.push_back(ordered(names[i], names[j]));
  return pairs;
}
std::vector<NamePair> listed_pairs(const std::string& path) {
  std::vector<NamePair> pairs;
  std::set<NamePair> seen;
  for (const std::string& line : read_lines(path, "match")) {
    std::istringstream words(line);
    std::string a, b, more;
    require(bool(words >> a >> b) && !(words >> more) && a != b, ErrorId::format, "match", "'",
            path, "': '", line.substr(0, 60), "' is not two different names");
    if (seen.insert(ordered(a, b)).second) pairs.push_back(ordered(a, b));
  }
  return pairs;
}
std::vector<NamePair> part_of(const std::vector<NamePair>& pairs, int64_t part, int64_t parts) {
  require(part >= 1 && part <= parts, ErrorId::argument, "match", "no part ", part, " of ", parts);
  const auto n = int64_t(pairs.size());
  return {pairs.begin() + n * (part - 1) / parts, pairs.begin() + n * part / parts};
}

std::vector<BrokenPhoto> match_folder(PhotoMatcher& matcher, const std::vector<NamePair>& all,
                                      const FolderOptions& o, const FolderProgress& tell) {
  require(matcher.options().correspond.mode == MatchMode::keypoints, ErrorId::usage, "match",
          "a folder is matched in mode keypoints, whose keypoints are the same in all pairs");
  std::error_code error;
  fs::create_directories(fs::path(o.results) / "features", error);
  require(!error, ErrorId::io, "match", "cannot make the folder '", o.results,
          "/features': ", error.message());
  const std::string settings = feature_settings(matcher.options(), o.weights_id);
  const FeatureCache cache(o.photos, fs::path(o.results) / "features", settings);
  ResultStore store(cat(o.results, "/results-", o.part, "-of-", o.parts, ".db"),
                    settings + match_settings(matcher.options().correspond, o));
  store.forget_changed(o.photos);
  std::vector<NamePair> pairs = part_of(all, o.part, o.parts);
  const auto done = store.done();
  std::erase_if(pairs, [&](const NamePair& p) { return done.contains(p); });

  std::vector<std::string> names, paths;  // in the order of their first use
  std::map<std::string, size_t> number;
  std::vector<std::array<size_t, 2>> ends;      // of pairs, numbers of names
  std::vector<std::vector<size_t>> pairs_with;  // a name
  for (size_t k = 0; k < pairs.size(); ++k) {
    auto& these = ends.emplace_back();
    for (size_t e = 0; e < 2; ++e) {
      const std::string& name = e == 0 ? pairs[k].first : pairs[k].second;
      const auto [at, fresh] = number.emplace(name, names.size());
      if (fresh) {
        names.push_back(name);
        paths.push_back(cache.path(name));
        pairs_with.emplace_back();
      }
      these[e] = at->second;
      pairs_with[these[e]].push_back(k);
    }
  }
  enum State { coming, there, unusable };
  std::vector<State> state;
  std::vector<size_t> missing, ready;
  for (size_t i = 0; i < names.size(); ++i) {
    state.push_back(cache.has(names[i]) ? there : coming);
    if (state[i] == coming) missing.push_back(i);
  }
  for (size_t k = 0; k < pairs.size(); ++k)
    if (state[ends[k][0]] == there && state[ends[k][1]] == there) ready.push_back(k);

  // Four stages side by side: photos are decoded, seen by the network (in this thread), written to
  // the cache and matched with those that are there, and what was found goes to the database.
  Progress progress(int64_t(missing.size()), int64_t(pairs.size()), tell);
  FileCache<StoredFeatures> features(
      paths, int64_t{512} << 20,
      [](int64_t, const std::string& path) { return FeatureCache::read(path); });
  std::set<size_t> stored;
  std::optional<Transaction> transaction;
  Clock::time_point opened;
  const auto commit = [&] {
    if (transaction) transaction->commit();
    transaction.reset();
  };
  Worker storing(64);
  const auto match = [&](const std::vector<size_t>& those) {
    for (const size_t k : those) {
      const auto start = Clock::now();
      const auto f0 = features.get(int64_t(ends[k][0])), f1 = features.get(int64_t(ends[k][1]));
      require(f0 && f1, ErrorId::io, "match", "'", paths[ends[k][f0 ? 1 : 0]],
              "' was changed by another program");
      const FolderResults::Pair pair = match_pair(matcher, *f0, *f1, o);
      storing.post([&, k, f0, f1, pair, took = seconds_since(start)] {
        if (!transaction) {
          transaction.emplace(store.database());
          opened = Clock::now();
        }
        for (size_t e = 0; e < 2; ++e)
          if (stored.insert(ends[k][e]).second) store.add(names[ends[k][e]], e == 0 ? *f0 : *f1);
        store.add(pairs[k], pair);
        if (seconds_since(opened) > 1) commit();
        progress.pair(took);
      });
    }
    storing.post(commit);
  };
  Worker matching(8);
  // What was there before is matched bit by bit between the photos, so that these do not wait.
  const size_t portions = missing.size() + 1;
  const auto post_ready = [&](size_t portion) {
    const auto at = [&](size_t k) {
      return ready.begin() + ptrdiff_t(ready.size() * k / portions);
    };
    matching.post([&, some = std::vector(at(portion), at(portion + 1))] { match(some); });
  };
  std::vector<BrokenPhoto> broken;
  // At least one that is decoded while another is seen, unless there is to be but one thread.
  const auto ahead = num_threads() == 1 ? 1 : size_t(std::clamp(num_threads(), 2, 4));
  std::deque<std::future<Decoded>> decoding;
  for (size_t next = 0, portion = 0; const size_t i : missing) {
    post_ready(portion++);
    const auto start = Clock::now();
    for (; next < missing.size() && decoding.size() < ahead; ++next)
      decoding.push_back(
          std::async(decode, std::cref(matcher), fs::path(o.photos) / names[missing[next]]));
    Decoded d = decoding.front().get();
    decoding.pop_front();
    state[i] = d.photo ? there : unusable;
    std::vector<size_t> now;  // pairs that have both photos by now
    int64_t dropped = 0;
    for (const size_t k : pairs_with[i]) {
      const State other = state[ends[k][ends[k][0] == i ? 1 : 0]];
      if (d.photo && other == there) now.push_back(k);
      if (!d.photo && other != unusable) ++dropped;
    }
    if (d.photo) {
      const auto f = to_stored(matcher.prepare(std::move(*d.photo), d.keypoints, true), d.stamp);
      matching.post([&, i, f, now] {
        cache.write(names[i], f);
        match(now);
      });
    } else {
      broken.push_back({names[i], d.trouble});
    }
    progress.photo(seconds_since(start), dropped);
  }
  post_ready(missing.size());
  matching.finish();
  storing.finish();
  store.finish();
  return broken;
}

}  // namespace cairn::ucn

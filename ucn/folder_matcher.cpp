#include "ucn/folder_matcher.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <set>
#include <sstream>

#include "data/file_cache.h"
#include "data/sqlite.h"
#include "nn/safetensors.h"
#include "tensor/file.h"
#include "ucn/same_scene.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;

/// One photo's part of the cache.
struct Features {
  Tensor keypoints;  ///< K x 2 f64, stored px
  int64_t width = 0, height = 0;
  std::vector<PhotoView> views;  ///< with descriptors alone
  int64_t nbytes() const {
    int64_t sum = keypoints.nbytes();
    for (const PhotoView& v : views) sum += v.features.descriptors.nbytes();
    return sum;
  }
};

/// Slashes do not belong in a file's name.
std::string flat(const std::string& name) {
  std::string text;
  for (const char c : name) text += c == '/' ? "%2F" : c == '%' ? "%25" : std::string(1, c);
  return text;
}

/// Everything that features depend on, and then all else that matches do.
std::string feature_settings(const PhotoMatcherOptions& o, const std::string& weights) {
  std::string text =
      cat("format 2, weights ", weights, ", exif ", o.photo.respect_exif, ", scale ", o.photo.scale,
          ", max-size ", o.photo.max_size, ", keypoints ", int(o.keypoints.kind), " ",
          o.keypoints.max_keypoints, " ", o.keypoints.contrast, ", rotations ", o.rotations,
          ", tile ", o.tile, ", scales");
  for (const double s : o.scales) text += cat(" ", s);
  return text;
}
std::string match_settings(const CorrespondOptions& c, const FolderOptions& o) {
  std::string text =
      cat(", reciprocity ", c.reciprocity, ", similarity ", c.min_similarity, ", ratio ", c.ratio,
          ", probability ", c.min_probability, ", temperature ", c.temperature, ", verify ",
          name_of(o.verify), ", threshold ", o.ransac.threshold, ", seed ", o.ransac.seed);
  for (const double f : o.focal) text += cat(", focal ", f);
  return text;
}

/// What tells a photo from another of its name.
std::string stamp(const fs::path& photo) {
  std::error_code error;
  const auto size = fs::file_size(photo, error);
  const auto time = fs::last_write_time(photo, error).time_since_epoch().count();
  return cat(size, " bytes, ", int64_t(time));
}

class Cache {
 public:
  Cache(const FolderOptions& o, const std::string& settings)
      : photos_(o.photos), folder_(fs::path(o.results) / "features"), settings_(settings) {}
  std::string path(const std::string& name) const {
    return folder_ / (flat(name) + ".safetensors");
  }
  bool has(const std::string& name) const {
    std::error_code error;
    if (!fs::exists(path(name), error)) return false;
    try {
      return current(nn::load_safetensors(path(name)), name);
    } catch (const Error&) {
      return false;  // damaged: made anew
    }
  }
  void write(const std::string& name, const PreparedPhoto& p) const {
    const int64_t n = p.keypoints.dim(0), views = int64_t(p.views.size());
    Tensor stored = Tensor::empty({n, 2}, DType::f64),
           kinds = Tensor::empty({views, 2}, DType::f64);
    for (int64_t k = 0; k < n; ++k) {
      const double* q = p.keypoints.data<double>() + 2 * k;
      const auto s = p.photo.to_stored(q[0], q[1]);
      std::ranges::copy(s, stored.data<double>() + 2 * k);
    }
    nn::TensorFile file{{{"keypoints", stored}, {"views", kinds}},
                        {{"settings", settings_},
                         {"photo", stamp(photos_ / name)},
                         {"width", std::to_string(p.photo.original.stored_width)},
                         {"height", std::to_string(p.photo.original.stored_height)}}};
    for (int64_t v = 0; v < views; ++v) {
      const PhotoView& view = p.views[size_t(v)];
      kinds.data<double>()[2 * v] = view.rotation;
      kinds.data<double>()[2 * v + 1] = view.scale;
      file.tensors.push_back({cat("descriptors.", v), view.features.descriptors.to(Device::cpu)});
    }
    nn::save_safetensors(path(name), file);
  }
  Features read(const std::string& path) const {
    const nn::TensorFile file = nn::load_safetensors(path);
    const auto tensor = [&](const std::string& name, DType type) {
      const Tensor* t = file.find(name);
      require(t && t->dtype() == type && t->rank() == 2, ErrorId::format, "match", "'", path,
              "' has no '", name, "'");
      return *t;
    };
    Features f;
    f.keypoints = tensor("keypoints", DType::f64);
    f.width = std::atoll(file.metadata.at("width").c_str());
    f.height = std::atoll(file.metadata.at("height").c_str());
    const Tensor kinds = tensor("views", DType::f64);
    for (int64_t v = 0; v < kinds.dim(0); ++v) {
      PhotoView view;
      view.rotation = int(kinds.data<double>()[2 * v]);
      view.scale = kinds.data<double>()[2 * v + 1];
      view.features = {{}, f.keypoints, tensor(cat("descriptors.", v), DType::f32)};
      f.views.push_back(view);
    }
    return f;
  }

 private:
  bool current(const nn::TensorFile& file, const std::string& name) const {
    const auto is = [&](const char* key, const std::string& value) {
      const auto at = file.metadata.find(key);
      return at != file.metadata.end() && at->second == value;
    };
    return is("settings", settings_) && is("photo", stamp(photos_ / name));
  }
  fs::path photos_, folder_;
  std::string settings_;
};

constexpr const char* tables = R"(
CREATE TABLE IF NOT EXISTS settings (value TEXT);
CREATE TABLE IF NOT EXISTS photos (name TEXT PRIMARY KEY, width INTEGER, height INTEGER,
  keypoints BLOB);
CREATE TABLE IF NOT EXISTS pairs (name0 TEXT, name1 TEXT, matches BLOB, scores BLOB, kind INTEGER,
  matrix BLOB, inliers BLOB, same_scene REAL, PRIMARY KEY (name0, name1));
)";

/// A part's results, open for writing.
class Store {
 public:
  Store(const std::string& path, const std::string& settings)
      : database_(path, Database::Mode::write) {
    database_.run("PRAGMA synchronous = NORMAL; PRAGMA journal_mode = DELETE");
    Transaction transaction(database_, true);
    require(!database_.exists("SELECT 1 FROM sqlite_master WHERE name NOT IN ('settings', "
                              "'photos', 'pairs') AND name NOT LIKE 'sqlite_%'"),
            ErrorId::io, "match", "'", path, "' is not one of match's; it is left alone");
    database_.run(tables);
    Statement known(database_, "SELECT value FROM settings");
    if (known.step())
      require(known.text(0) == settings, ErrorId::usage, "match", "the results in '", path,
              "' were made with other settings (", known.text(0), "; now: ", settings,
              "). Hint: another --out");
    else
      Statement(database_, "INSERT INTO settings VALUES (?)").bind(settings).run();
    database_.run("PRAGMA user_version = 0");  // not finished
    transaction.commit();
  }
  std::set<NamePair> done() {
    std::set<NamePair> pairs;
    Statement s(database_, "SELECT name0, name1 FROM pairs");
    while (s.step()) pairs.emplace(s.text(0), s.text(1));
    return pairs;
  }
  void add(const std::string& name, const Features& f) {
    Statement(database_, "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?)")
        .bind(name)
        .bind(f.width)
        .bind(f.height)
        .bind_blob(f.keypoints.data<double>(), size_t(f.keypoints.nbytes()))
        .run();
  }
  void add(const NamePair& names, const FolderResults::Pair& p) {
    Statement(database_, "INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(names.first)
        .bind(names.second)
        .bind_blob(p.matches)
        .bind_blob(p.scores)
        .bind(int64_t(p.geometry.kind))
        .bind_blob(p.geometry.matrix.data(), sizeof p.geometry.matrix)
        .bind_blob(p.geometry.inlier)
        .bind(p.same_scene)
        .run();
  }
  Database& database() { return database_; }

 private:
  Database database_;
};

FolderResults::Pair match_pair(const PhotoMatcher& matcher, const Features& f0, const Features& f1,
                               const FolderOptions& o) {
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
    const Features& f = k == 0 ? f0 : f1;
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
            path, "': '", line.substr(0, 60), "' is not two names");
    if (seen.insert(ordered(a, b)).second) pairs.push_back(ordered(a, b));
  }
  return pairs;
}
std::vector<NamePair> part_of(const std::vector<NamePair>& pairs, int64_t part, int64_t parts) {
  require(part >= 1 && part <= parts, ErrorId::argument, "match", "no part ", part, " of ", parts);
  const auto n = int64_t(pairs.size());
  return {pairs.begin() + n * (part - 1) / parts, pairs.begin() + n * part / parts};
}

std::vector<BrokenPhoto> match_folder(
    PhotoMatcher& matcher, const std::vector<NamePair>& all, const FolderOptions& o,
    const std::function<void(int64_t, int64_t, const std::string&)>& progress) {
  require(matcher.options().correspond.mode == MatchMode::keypoints, ErrorId::usage, "match",
          "a folder is matched in mode keypoints, whose keypoints are the same in all pairs");
  std::error_code error;
  fs::create_directories(fs::path(o.results) / "features", error);
  require(!error, ErrorId::io, "match", "cannot make the folder '", o.results,
          "': ", error.message());
  const std::string settings = feature_settings(matcher.options(), o.weights_id);
  const Cache cache(o, settings);
  Store store(cat(o.results, "/results-", o.part, "-of-", o.parts, ".db"),
              settings + match_settings(matcher.options().correspond, o));
  std::vector<NamePair> pairs = part_of(all, o.part, o.parts);
  const auto done = store.done();
  std::erase_if(pairs, [&](const NamePair& p) { return done.contains(p); });

  std::vector<std::string> names;  // in the order of their first use
  std::map<std::string, int64_t> number;
  for (const NamePair& p : pairs)
    for (const std::string& name : {p.first, p.second})
      if (number.emplace(name, int64_t(names.size())).second) names.push_back(name);

  // While the network sees one photo, the next is decoded and searched for keypoints.
  std::vector<BrokenPhoto> broken;
  std::vector<std::string> missing;
  for (const std::string& name : names)
    if (!cache.has(name)) missing.push_back(name);
  struct Decoded {
    std::optional<Photo> photo;
    Tensor keypoints;
    std::string trouble;
  };
  const auto decode = [&](const std::string& name) {
    Decoded d;
    try {
      Photo photo = matcher.read(fs::path(o.photos) / name);
      d.keypoints = matcher.detect(photo);
      d.photo = std::move(photo);
    } catch (const Error& e) {
      if (e.id() != ErrorId::io && e.id() != ErrorId::format) throw;
      d.trouble = e.what();
    }
    return d;
  };
  std::set<std::string> unusable;
  std::future<Decoded> next;
  for (size_t k = 0; k < missing.size(); ++k) {
    Decoded d = k == 0 ? decode(missing[0]) : next.get();
    if (k + 1 < missing.size()) next = std::async(std::launch::async, decode, missing[k + 1]);
    if (d.photo) {
      cache.write(missing[k], matcher.prepare(std::move(*d.photo), d.keypoints, true));
    } else {
      broken.push_back({missing[k], d.trouble});
      unusable.insert(missing[k]);
    }
    progress(int64_t(k) + 1, int64_t(missing.size()), "photos");
  }

  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(cache.path(name));
  FileCache<Features> features(paths, int64_t{512} << 20,
                               [&](int64_t, const std::string& path) { return cache.read(path); });
  std::set<std::string> stored;
  std::optional<Transaction> transaction;
  auto opened = std::chrono::steady_clock::now();
  for (size_t k = 0; k < pairs.size(); ++k) {
    const auto& [name0, name1] = pairs[k];
    if (unusable.contains(name0) || unusable.contains(name1)) continue;
    const auto f0 = features.get(number[name0]), f1 = features.get(number[name1]);
    require(f0 && f1, ErrorId::io, "match", "'", cache.path(f0 ? name1 : name0),
            "' was changed by another program");
    const FolderResults::Pair pair = match_pair(matcher, *f0, *f1, o);
    if (!transaction) {
      transaction.emplace(store.database());
      opened = std::chrono::steady_clock::now();
    }
    for (const auto& [name, f] : {std::pair(name0, f0), std::pair(name1, f1)})
      if (stored.insert(name).second) store.add(name, *f);
    store.add(pairs[k], pair);
    if (std::chrono::steady_clock::now() - opened > std::chrono::seconds(1) ||
        k + 1 == pairs.size()) {
      transaction->commit();
      transaction.reset();
    }
    progress(int64_t(k) + 1, int64_t(pairs.size()), "pairs");
  }
  if (transaction) transaction->commit();
  store.database().run("PRAGMA user_version = 1");  // all that this part can do is done
  return broken;
}

FolderResults read_results(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (const std::string name = entry.path().filename();
        name.starts_with("results-") && name.ends_with(".db"))
      files.push_back(entry.path());
  require(!files.empty(), ErrorId::io, "match", "'", folder, "' holds no results of match");
  std::ranges::sort(files);
  FolderResults results;
  std::string settings;
  std::map<int64_t, std::set<int64_t>> finished;  // of that many parts, which
  for (const std::string& file : files) {
    Database database(file, Database::Mode::read);
    long long part = 0, parts = 0;
    std::sscanf(fs::path(file).filename().c_str(), "results-%lld-of-%lld", &part, &parts);
    auto& these_parts = finished[parts];
    Statement version(database, "PRAGMA user_version");
    if (version.step() && version.integer(0) == 1) these_parts.insert(part);
    Statement s(database, "SELECT value FROM settings");
    const std::string these = s.step() ? s.text(0) : "";
    require(settings.empty() || these == settings, ErrorId::format, "match", "the results in '",
            file, "' were made with other settings than the others");
    settings = these;
    Statement photos(database, "SELECT name, width, height, keypoints FROM photos");
    while (photos.step()) {
      FolderResults::Photo& p = results.photos[photos.text(0)];
      p.width = photos.integer(1);
      p.height = photos.integer(2);
      p.keypoints = photos.blob<Point>(3);
    }
    Statement pairs(database,
                    "SELECT name0, name1, matches, scores, kind, matrix, inliers, same_scene "
                    "FROM pairs");
    while (pairs.step()) {
      FolderResults::Pair& p = results.pairs[{pairs.text(0), pairs.text(1)}];
      p.matches = pairs.blob<std::array<int32_t, 2>>(2);
      p.scores = pairs.blob<float>(3);
      p.geometry.kind = Geometry(pairs.integer(4));
      const auto matrix = pairs.blob<std::array<double, 9>>(5);
      if (!matrix.empty()) p.geometry.matrix = matrix[0];
      p.geometry.inlier = pairs.blob<uint8_t>(6);
      p.geometry.inliers = std::ranges::count(p.geometry.inlier, 1);
      p.same_scene = pairs.real(7);
      for (const std::string& name : {pairs.text(0), pairs.text(1)})
        require(results.photos.contains(name), ErrorId::format, "match", "'", file,
                "' lacks the keypoints of '", name, "'");
    }
  }
  for (const auto& [parts, done] : finished)
    for (int64_t part = 1; part <= parts; ++part)
      if (!done.contains(part)) results.unfinished.push_back(cat(part, " of ", parts));
  // Where parts were cut in two ways, one that is whole is enough.
  if (std::ranges::any_of(finished,
                          [](const auto& f) { return int64_t(f.second.size()) == f.first; }))
    results.unfinished.clear();
  return results;
}

}  // namespace cairn::ucn

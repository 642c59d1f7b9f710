#include "ucn/folder_store.h"

#include <algorithm>

#include "nn/safetensors.h"
#include "ucn/feature_grid.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;

/// Slashes do not belong in a file's name.
std::string flat(const std::string& name) {
  std::string text;
  for (const char c : name) text += c == '/' ? "%2F" : c == '%' ? "%25" : std::string(1, c);
  return text;
}

constexpr const char* tables = R"(
CREATE TABLE IF NOT EXISTS settings (value TEXT);
CREATE TABLE IF NOT EXISTS photos (name TEXT PRIMARY KEY, width INTEGER, height INTEGER,
  stamp TEXT, keypoints BLOB);
CREATE TABLE IF NOT EXISTS pairs (name0 TEXT, name1 TEXT, matches BLOB, scores BLOB, kind INTEGER,
  matrix BLOB, inliers BLOB, same_scene REAL, PRIMARY KEY (name0, name1));
)";

}  // namespace

std::string photo_stamp(const fs::path& photo) {
  std::error_code error;
  const auto size = fs::file_size(photo, error);
  const auto time = fs::last_write_time(photo, error).time_since_epoch().count();
  return cat(size, " bytes, ", int64_t(time));
}

int64_t StoredFeatures::nbytes() const {
  int64_t sum = keypoints.nbytes() + (coarse.defined() ? coarse.nbytes() : 0);
  for (const PhotoView& v : views)
    sum += v.features.keypoints.nbytes() + v.features.descriptors.nbytes();
  return sum;
}

StoredFeatures to_stored(const PreparedPhoto& p, const std::string& stamp) {
  StoredFeatures stored;
  stored.keypoints = Tensor::empty(p.keypoints.shape(), DType::f64);
  stored.width = p.photo.original.stored_width;
  stored.height = p.photo.original.stored_height;
  stored.stamp = stamp;
  stored.orientation = p.photo.original.orientation;
  for (int64_t k = 0; k < p.keypoints.dim(0); ++k) {
    const double* q = p.keypoints.data<double>() + 2 * k;
    std::ranges::copy(p.photo.to_stored(q[0], q[1]), stored.keypoints.data<double>() + 2 * k);
  }
  for (const PhotoView& v : p.views) {
    PhotoView& view = stored.views.emplace_back();
    view.rotation = v.rotation;
    view.scale = v.scale;
    const PhotoFeatures& f = v.features;
    view.features = {{}, f.keypoints, f.descriptors.to(Device::cpu), {}, f.extent};
  }
  constexpr int64_t cells = 48;
  stored.coarse = coarse_features(p, p.views[0], cells);
  if (stored.coarse.defined()) stored.coarse = stored.coarse.to(DType::f16);
  return stored;
}

std::string FeatureCache::path(const fs::path& folder, const std::string& name) {
  return folder / (flat(name) + ".safetensors");
}

bool FeatureCache::has(const std::string& name) const {
  std::error_code error;
  if (!fs::exists(path(name), error)) return false;
  try {
    const nn::TensorFile file = nn::load_safetensors(path(name));
    const auto is = [&](const char* key, const std::string& value) {
      const auto at = file.metadata.find(key);
      return at != file.metadata.end() && at->second == value;
    };
    return is("settings", settings_) && is("photo", photo_stamp(photos_ / name));
  } catch (const Error&) {
    return false;
  }
}

void FeatureCache::write(const std::string& name, const StoredFeatures& features) const {
  const auto views = int64_t(features.views.size());
  Tensor kinds = Tensor::empty({views, 3}, DType::f64);
  nn::TensorFile file{{{"keypoints", features.keypoints}, {"views", kinds}},
                      {{"settings", settings_},
                       {"photo", features.stamp},
                       {"width", std::to_string(features.width)},
                       {"height", std::to_string(features.height)}}};
  for (int64_t v = 0; v < views; ++v) {
    const PhotoView& view = features.views[size_t(v)];
    const std::array kind{double(view.rotation), view.scale, double(view.features.extent)};
    std::ranges::copy(kind, kinds.data<double>() + 3 * v);
    file.tensors.push_back({cat("keypoints.", v), view.features.keypoints});
    file.tensors.push_back({cat("descriptors.", v), view.features.descriptors});
  }
  file.metadata["orientation"] = std::to_string(features.orientation);
  if (features.coarse.defined()) file.tensors.push_back({"coarse", features.coarse});
  nn::save_safetensors(path(name), file);
}

StoredFeatures FeatureCache::read(const std::string& path) {
  const nn::TensorFile file = nn::load_safetensors(path);
  const auto tensor = [&](const std::string& name, DType type) {
    const Tensor* t = file.find(name);
    require(t && t->dtype() == type && t->rank() == 2, ErrorId::format, "match", "'", path,
            "' has no '", name, "'");
    return *t;
  };
  StoredFeatures f;
  f.keypoints = tensor("keypoints", DType::f64);
  f.width = std::atoll(file.metadata.at("width").c_str());
  f.height = std::atoll(file.metadata.at("height").c_str());
  f.stamp = file.metadata.at("photo");
  const Tensor kinds = tensor("views", DType::f64);
  for (int64_t v = 0; v < kinds.dim(0); ++v) {
    const double* kind = kinds.data<double>() + kinds.dim(1) * v;
    const Tensor seen = tensor(cat("keypoints.", v), DType::f64);
    require(
        kinds.dim(1) == 3 && kind[2] > 0 && seen.dim(1) == 2 && seen.shape() == f.keypoints.shape(),
        ErrorId::format, "match", "'", path, "' is damaged");
    PhotoView view;
    view.rotation = int(kind[0]);
    view.scale = kind[1];
    view.features = {{}, seen, tensor(cat("descriptors.", v), DType::f32), {}, int64_t(kind[2])};
    f.views.push_back(view);
  }
  return f;
}

Tensor FeatureCache::coarse(const std::string& path, const std::string& stamp, int orientation) {
  nn::TensorFile file;
  try {
    file = nn::load_safetensors(path);
  } catch (const Error& e) {
    if (e.id() != ErrorId::io && e.id() != ErrorId::format) throw;
  }
  const Tensor* t = file.find("coarse");
  const bool good = t && t->dtype() == DType::f16 && t->rank() == 3 && t->numel() > 0 &&
                    file.metadata["photo"] == stamp &&
                    file.metadata["orientation"] == std::to_string(orientation);
  return good ? t->to(DType::f32) : Tensor();
}

ResultStore::ResultStore(const std::string& path, const std::string& settings)
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

void ResultStore::forget_changed(const fs::path& photos) {
  std::vector<std::string> changed;
  Statement known(database_, "SELECT name, stamp FROM photos");
  while (known.step())
    if (known.text(1) != photo_stamp(photos / known.text(0))) changed.push_back(known.text(0));
  Transaction transaction(database_);
  for (const std::string& name : changed) {
    Statement(database_, "DELETE FROM pairs WHERE name0 = ? OR name1 = ?")
        .bind(name)
        .bind(name)
        .run();
    Statement(database_, "DELETE FROM photos WHERE name = ?").bind(name).run();
  }
  transaction.commit();
}

std::set<NamePair> ResultStore::done() {
  std::set<NamePair> pairs;
  Statement s(database_, "SELECT name0, name1 FROM pairs");
  while (s.step()) pairs.emplace(s.text(0), s.text(1));
  return pairs;
}

void ResultStore::add(const std::string& name, const StoredFeatures& f) {
  Statement(database_, "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?, ?)")
      .bind(name)
      .bind(f.width)
      .bind(f.height)
      .bind(f.stamp)
      .bind_blob(f.keypoints.data<double>(), size_t(f.keypoints.nbytes()))
      .run();
}

void ResultStore::add(const NamePair& names, const FolderResults::Pair& p) {
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

void ResultStore::finish() { database_.run("PRAGMA user_version = 1"); }

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
  std::map<std::string, std::string> stamps;      // of photos
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
    Statement photos(database, "SELECT name, width, height, keypoints, stamp FROM photos");
    while (photos.step()) {
      const std::string& seen = stamps.emplace(photos.text(0), photos.text(4)).first->second;
      require(seen == photos.text(4), ErrorId::format, "match", "the photo '", photos.text(0),
              "' has changed between the parts. Hint: run all parts again");
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

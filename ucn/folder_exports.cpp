// A folder's matches in the formats of others.
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "data/colmap/database.h"
#include "data/hdf5.h"
#include "tensor/file.h"
#include "ucn/folder_matcher.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<std::string>;

bool verified(const FolderResults::Pair& p) { return p.geometry.kind != Geometry::none; }

/// None of a pair that hardly shows one scene: some dozens of matches obey a matrix by chance, and
/// COLMAP, which asks for 15, would build on them.
std::vector<std::array<int32_t, 2>> inliers(const FolderResults::Pair& p) {
  constexpr double doubtful = 0.1;
  if (!verified(p)) return p.matches;
  if (p.same_scene < doubtful) return {};
  std::vector<std::array<int32_t, 2>> some;
  for (size_t k = 0; k < p.matches.size(); ++k)
    if (p.geometry.inlier[k]) some.push_back(p.matches[k]);
  return some;
}

/// A field of a CSV file.
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

Files csv(const FolderResults& r, const std::string& folder, const ExportOptions&) {
  std::string text = "photo0,photo1,matches,inliers,same_scene\n";
  for (const auto& [names, p] : r.pairs) {
    char numbers[80];
    std::snprintf(numbers, sizeof numbers, ",%zu,%lld,%.3f\n", p.matches.size(),
                  (long long)(verified(p) ? p.geometry.inliers : -1), p.same_scene);
    text += field(names.first) + "," + field(names.second) + numbers;
  }
  write_file_atomically(folder + "/pairs.csv", text, "match");
  return {folder + "/pairs.csv"};
}

Files colmap(const FolderResults& r, const std::string& folder, const ExportOptions& o) {
  const std::string path = folder + "/database.db";
  colmap::DatabaseWriter database(path);
  std::map<std::pair<int64_t, int64_t>, int64_t> cameras;
  std::map<std::string, int64_t> images;
  for (const auto& [name, p] : r.photos) {
    int64_t& camera = cameras[{p.width, p.height}];
    if (camera == 0 || !o.single_camera)
      camera = database.add_camera(
          p.width, p.height,
          o.focal.empty() ? 1.2 * double(std::max(p.width, p.height)) : o.focal[0],
          !o.focal.empty());
    images[name] = database.add_image(name, camera, p.keypoints);
  }
  for (const auto& [names, p] : r.pairs) {
    using Config = colmap::DatabaseWriter::Config;
    colmap::DatabaseWriter::Pair pair{images[names.first], images[names.second], p.matches,
                                      inliers(p)};
    if (p.geometry.kind == Geometry::fundamental) {
      pair.config = Config::uncalibrated;
      pair.f = p.geometry.matrix;
    } else if (p.geometry.kind == Geometry::essential) {
      pair.config = Config::calibrated;
      pair.e = p.geometry.matrix;
    } else if (p.geometry.kind == Geometry::homography) {
      pair.config = Config::planar;
      pair.h = p.geometry.matrix;
    } else {
      pair.config = Config::uncalibrated;
    }
    database.add_pair(pair);
  }
  database.commit();
  return {path};
}

Files hloc(const FolderResults& r, const std::string& folder, const ExportOptions&) {
  Hdf5Writer features(folder + "/features.h5"), matches(folder + "/matches.h5");
  for (const auto& [name, p] : r.photos) {
    Tensor keypoints = Tensor::empty({int64_t(p.keypoints.size()), 2}, DType::f32);
    for (size_t k = 0; k < p.keypoints.size(); ++k)
      for (size_t i = 0; i < 2; ++i) keypoints.data<float>()[2 * k + i] = float(p.keypoints[k][i]);
    features.add(name + "/keypoints", keypoints);
    features.add(name + "/image_size", Tensor::from({2}, std::vector<int64_t>{p.width, p.height}));
  }
  std::string list;
  for (const auto& [names, p] : r.pairs) {
    const auto n = int64_t(r.photos.at(names.first).keypoints.size());
    Tensor ends = Tensor::full({n}, -1, DType::i32), scores = Tensor::zeros({n});
    for (size_t k = 0; k < p.matches.size(); ++k) {
      ends.data<int32_t>()[p.matches[k][0]] = p.matches[k][1];
      scores.data<float>()[p.matches[k][0]] = p.scores[k];
    }
    const auto dashed = [](std::string name) {
      std::ranges::replace(name, '/', '-');
      return name;
    };
    const std::string group = dashed(names.first) + "/" + dashed(names.second);
    matches.add(group + "/matches0", ends);
    matches.add(group + "/matching_scores0", scores);
    list += names.first + " " + names.second + "\n";
  }
  features.commit();
  matches.commit();
  write_file_atomically(folder + "/pairs.txt", list, "match");
  return {folder + "/features.h5", folder + "/matches.h5", folder + "/pairs.txt"};
}

/// For COLMAP's feature_importer and matches_importer. The first insists on 128 bytes a descriptor;
/// all are 0, since matches come with it.
Files text(const FolderResults& r, const std::string& folder, const ExportOptions&) {
  const fs::path below = fs::path(folder) / "colmap-text";
  std::string zeros;
  for (int k = 0; k < 128; ++k) zeros += " 0";
  for (const auto& [name, p] : r.photos) {
    const fs::path file = below / (name + ".txt");
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    require(!error, ErrorId::io, "match", "cannot make the folder '", file.parent_path().string(),
            "': ", error.message());
    std::string rows = cat(p.keypoints.size(), " 128\n");
    for (const Point& q : p.keypoints) {
      char place[80];
      std::snprintf(place, sizeof place, "%.4f %.4f 1 0", q[0] + 0.5, q[1] + 0.5);
      rows += place + zeros + "\n";
    }
    write_file_atomically(file, rows, "match");
  }
  std::string list;
  for (const auto& [names, p] : r.pairs) {
    list += names.first + " " + names.second + "\n";
    for (const auto& [a, b] : inliers(p)) list += cat(a, " ", b, "\n");
    list += "\n";
  }
  write_file_atomically(below / "matches.txt", list, "match");
  return {below / "matches.txt"};
}

}  // namespace

Files export_results(const FolderResults& results, const std::string& what,
                     const std::string& folder, const ExportOptions& options) {
  struct Export {
    const char* name;
    Files (*write)(const FolderResults&, const std::string&, const ExportOptions&);
  };
  for (const Export& e : {Export{"csv", csv}, {"colmap", colmap}, {"hloc", hloc}, {"text", text}})
    if (what == e.name) return e.write(results, folder, options);
  throw Error(ErrorId::argument, "match",
              cat("no export '", what, "'; there is csv, colmap, hloc, text"));
}

}  // namespace cairn::ucn

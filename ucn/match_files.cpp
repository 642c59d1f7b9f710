#include "ucn/match_files.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/npz.h"
#include "tensor/file.h"

namespace cairn::ucn {
namespace {

using nlohmann::ordered_json;

template <class... T>
std::string format(const char* pattern, T... values) {
  char line[256];
  std::snprintf(line, sizeof line, pattern, values...);
  return line;
}

bool verified(const MatchFile& f) { return f.geometry.kind != Geometry::none; }

/// To a thousandth of a pixel, as people read them.
double rounded(double v) { return std::round(v * 1000) / 1000; }

Tensor points_tensor(const std::vector<Point>& points) {
  Tensor t = Tensor::empty({int64_t(points.size()), 2}, DType::f32);
  for (size_t k = 0; k < points.size(); ++k)
    for (size_t i = 0; i < 2; ++i) t.data<float>()[2 * k + i] = float(points[k][i]);
  return t;
}

std::string yaml_matrix(const std::string& name, int64_t rows, int64_t columns,
                        const std::vector<double>& values, const char* type) {
  std::string text = cat(name, ": !!opencv-matrix\n   rows: ", rows, "\n   cols: ", columns,
                         "\n   dt: ", type, "\n   data: [ ");
  for (size_t k = 0; k < values.size(); ++k) {
    if (k > 0) text += k % 8 == 0 ? ",\n       " : ", ";
    // A whole number needs its point, or OpenCV takes it for an integer.
    std::string v = format("%.9g", values[k]);
    if (*type != 'u' && v.find_first_of(".en") == std::string::npos) v += '.';
    text += v;
  }
  return text + " ]\n";
}

std::string quoted(const std::string& text) {
  return ordered_json(text).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

MatchFile as_file(const PhotoMatches& found) {
  MatchFile f;
  f.matches = found.stored;
  for (const Correspondence& m : found.found.matches) {
    f.scores.push_back(m.score);
    if (m.confidence >= 0) f.confidence.push_back(m.confidence);
  }
  return f;
}

std::string to_csv(const MatchFile& f) {
  std::string csv = "x0,y0,x1,y1,score";
  if (!f.confidence.empty()) csv += ",confidence";
  csv += verified(f) ? ",inlier\n" : "\n";
  for (size_t k = 0; k < f.matches.size(); ++k) {
    const PointPair& m = f.matches[k];
    csv += format("%.3f,%.3f,%.3f,%.3f,%.5f", m.x0, m.y0, m.x1, m.y1, f.scores[k]);
    if (!f.confidence.empty()) csv += format(",%.5f", f.confidence[k]);
    csv += verified(f) ? (f.geometry.inlier[k] ? ",1\n" : ",0\n") : "\n";
  }
  return csv;
}

std::string to_json(const MatchFile& f) {
  const auto photo = [](const MatchFile::Photo& p) {
    return ordered_json{{"path", p.path}, {"width", p.width}, {"height", p.height}};
  };
  ordered_json j = {{"photo0", photo(f.photo0)}, {"photo1", photo(f.photo1)}};
  j["columns"] = {"x0", "y0", "x1", "y1", "score"};
  if (!f.confidence.empty()) j["columns"].push_back("confidence");
  if (verified(f)) j["columns"].push_back("inlier");
  j["matches"] = ordered_json::array();
  for (size_t k = 0; k < f.matches.size(); ++k) {
    const PointPair& m = f.matches[k];
    ordered_json row = {rounded(m.x0), rounded(m.y0), rounded(m.x1), rounded(m.y1),
                        std::round(f.scores[k] * 1e5) / 1e5};
    if (!f.confidence.empty()) row.push_back(std::round(f.confidence[k] * 1e5) / 1e5);
    if (verified(f)) row.push_back(int(f.geometry.inlier[k]));
    j["matches"].push_back(std::move(row));
  }
  if (verified(f)) {
    j["geometry"] = {{"kind", name_of(f.geometry.kind)}, {"inliers", f.geometry.inliers}};
    if (f.geometry.inliers > 0) j["geometry"]["matrix"] = f.geometry.matrix;
  }
  if (f.same_scene >= 0) j["same_scene"] = rounded(f.same_scene);
  return j.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string to_opencv_yaml(const MatchFile& f) {
  std::string text = "%YAML:1.0\n---\n";
  text += "photo0: " + quoted(f.photo0.path) + "\nphoto1: " + quoted(f.photo1.path) + "\n";
  std::vector<double> points0, points1, inliers;
  for (const PointPair& m : f.matches) {
    points0.insert(points0.end(), {m.x0, m.y0});
    points1.insert(points1.end(), {m.x1, m.y1});
  }
  const auto n = int64_t(f.matches.size());
  text += yaml_matrix("points0", n, 2, points0, "f");
  text += yaml_matrix("points1", n, 2, points1, "f");
  text += yaml_matrix("scores", n, 1, f.scores, "f");
  if (!f.confidence.empty()) text += yaml_matrix("confidence", n, 1, f.confidence, "f");
  if (!verified(f)) return text;
  text += cat("geometry: ", name_of(f.geometry.kind), "\n");
  text += yaml_matrix("inliers", n, 1, {f.geometry.inlier.begin(), f.geometry.inlier.end()}, "u");
  if (f.geometry.inliers > 0)
    text += yaml_matrix("matrix", 3, 3, {f.geometry.matrix.begin(), f.geometry.matrix.end()}, "d");
  return text;
}

void write_superglue_npz(const std::string& path, const MatchFile& f) {
  std::vector<Point> keypoints0 = f.photo0.keypoints, keypoints1 = f.photo1.keypoints;
  auto numbers = f.numbers;
  if (numbers.empty())  // the matches' own ends, in pairs
    for (size_t k = 0; k < f.matches.size(); ++k) {
      numbers.push_back({int64_t(keypoints0.size()), int64_t(keypoints1.size())});
      keypoints0.push_back({f.matches[k].x0, f.matches[k].y0});
      keypoints1.push_back({f.matches[k].x1, f.matches[k].y1});
    }
  Tensor matches = Tensor::full({int64_t(keypoints0.size())}, -1, DType::i64);
  Tensor confidence = Tensor::zeros({int64_t(keypoints0.size())});
  for (size_t k = 0; k < numbers.size(); ++k) {
    matches.data<int64_t>()[numbers[k][0]] = numbers[k][1];
    confidence.data<float>()[numbers[k][0]] = float(f.scores[k]);
  }
  write_npz(path, {{"keypoints0", points_tensor(keypoints0)},
                   {"keypoints1", points_tensor(keypoints1)},
                   {"matches", matches},
                   {"match_confidence", confidence}});
}

void write_matches(const std::string& path, const MatchFile& file) {
  const std::string ending = std::filesystem::path(path).extension();
  if (ending == ".npz") return write_superglue_npz(path, file);
  using Writer = std::string (*)(const MatchFile&);
  const Writer writer = ending == ".csv"                        ? to_csv
                        : ending == ".json"                     ? to_json
                        : ending == ".yml" || ending == ".yaml" ? to_opencv_yaml
                                                                : Writer{};
  require(writer, ErrorId::usage, "match", "no format for '", path,
          "'; there is .csv, .json, .npz, .yml");
  write_file_atomically(path, writer(file), "match");
}

MatchFile read_matches(const std::string& path) {
  const char* op = "read_matches";
  MatchFile f;
  if (std::filesystem::path(path).extension() == ".npz") {
    const NpzArchive archive = read_npz(path);
    const auto array = [&](const char* name, DType type) {
      const auto at = archive.find(name);
      const Tensor* t = at == archive.end() ? nullptr : std::get_if<Tensor>(&at->second);
      require(t, ErrorId::format, op, "'", path, "' has no array '", name, "'");
      return t->to(type);
    };
    const Tensor k0 = array("keypoints0", DType::f64), k1 = array("keypoints1", DType::f64);
    const Tensor matches = array("matches", DType::i64);
    const Tensor scores = array("match_confidence", DType::f64);
    require(k0.rank() == 2 && k0.dim(1) == 2 && k1.rank() == 2 && k1.dim(1) == 2 &&
                matches.numel() == k0.dim(0) && scores.numel() == k0.dim(0),
            ErrorId::format, op, "'", path, "' has arrays of other shapes than SuperGlue's");
    for (int64_t k = 0; k < k0.dim(0); ++k) {
      const int64_t end = matches.data<int64_t>()[k];
      if (end < 0) continue;
      require(end < k1.dim(0), ErrorId::format, op, "'", path, "' matches keypoint ", end, " of ",
              k1.dim(0));
      const double *a = k0.data<double>() + 2 * k, *b = k1.data<double>() + 2 * end;
      f.matches.push_back({a[0], a[1], b[0], b[1]});
      f.scores.push_back(scores.data<double>()[k]);
    }
    return f;
  }
  bool header = true;
  for (const std::string& line : read_lines(path, op)) {
    PointPair m{};
    double score = 1;
    const int got =
        std::sscanf(line.c_str(), "%lf,%lf,%lf,%lf,%lf", &m.x0, &m.y0, &m.x1, &m.y1, &score);
    require(got >= 4 || header, ErrorId::format, op, "'", path, "': '", line.substr(0, 60),
            "' is not x0,y0,x1,y1,score");
    header = false;
    if (got < 4) continue;
    f.matches.push_back(m);
    f.scores.push_back(score);
  }
  for (const PointPair& m : f.matches)
    require(
        std::isfinite(m.x0) && std::isfinite(m.y0) && std::isfinite(m.x1) && std::isfinite(m.y1),
        ErrorId::format, op, "'", path, "' has a place that is not finite");
  return f;
}

}  // namespace cairn::ucn

#include <algorithm>
#include <filesystem>

#include "data/yfcc/yfcc.h"
#include "tensor/file.h"
#include "tensor/random.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

/// How many points each of `photos` photos shares with the one whose file this is.
std::vector<double> visibility(const std::string& path, size_t photos) {
  std::vector<double> shared;
  for (const std::string& line : read_lines(path, "yfcc")) {
    char* end = nullptr;
    shared.push_back(std::strtod(line.c_str(), &end));
    require(*end == 0, ErrorId::format, "yfcc", "'", path, "': '", line, "' is not a number");
  }
  require(shared.size() == photos, ErrorId::format, "yfcc", "'", path, "' has ", shared.size(),
          " lines for ", photos, " photos");
  return shared;
}

/// Which pairs: (first photo, second photo).
std::vector<std::pair<size_t, size_t>> choose_pairs(YfccPart& part, const std::string& folder,
                                                    const std::vector<std::string>& files,
                                                    const YfccPrepareOptions& o) {
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t i = 0; i < files.size(); ++i) try {
      const auto shared = visibility(folder + files[i], files.size());
      for (size_t j = 0; j < files.size(); ++j)
        if (i != j && shared[j] > double(o.min_visibility)) pairs.emplace_back(i, j);
    } catch (const Error& e) {
      part.problems.push_back(e.what());
    }
  if (int64_t(pairs.size()) <= o.pairs) return pairs;
  Random random(0);
  auto drawn = sample_without_replacement(int64_t(pairs.size()), o.pairs, random);
  std::ranges::sort(drawn);
  std::vector<std::pair<size_t, size_t>> some;
  for (int64_t k : drawn) some.push_back(pairs[size_t(k)]);
  return some;
}

YfccPart prepare_part(const std::string& raw, const std::string& out, const std::string& scene,
                      const std::string& phase, const YfccPrepareOptions& o,
                      const std::function<void(const YfccPart&, int64_t, int64_t)>& done) {
  YfccPart part{scene, phase, 0, {}};
  const std::string below = scene + "/" + phase + "/", folder = raw + "/" + below;
  const auto images = read_lines(folder + "images.txt", "yfcc");
  const auto calibrations = read_lines(folder + "calibration.txt", "yfcc");
  const auto visibilities = read_lines(folder + "visibility.txt", "yfcc");
  require(images.size() == calibrations.size() && images.size() == visibilities.size(),
          ErrorId::format, "yfcc", "'", folder, "' lists ", images.size(), " photos, ",
          calibrations.size(), " calibrations and ", visibilities.size(), " visibilities");
  std::vector<Tensor> cameras(images.size());  // undefined: cannot be used
  for (size_t i = 0; i < images.size(); ++i) try {
      std::error_code ignored;
      require(fs::exists(folder + images[i], ignored), ErrorId::io, "yfcc", "there is no photo '",
              folder, images[i], "'");
      cameras[i] = read_yfcc_calibration(folder + calibrations[i]).to_tensor();
    } catch (const Error& e) {
      part.problems.push_back(e.what());
    }
  const auto pairs = choose_pairs(part, folder, visibilities, o);
  std::error_code error;
  fs::create_directories(out + "/" + scene, error);
  require(!error, ErrorId::io, "yfcc", "cannot make the folder '", out, "/", scene,
          "': ", error.message());
  int64_t through = 0;
  for (const auto& [i, j] : pairs) {
    ++through;
    if (!cameras[i].defined() || !cameras[j].defined()) continue;
    char name[64];
    std::snprintf(name, sizeof name, "%s_%06zu_%06zu.npz", phase.c_str(), i, j);
    const std::string path = out + "/" + scene + "/" + name;
    std::error_code ignored;
    try {
      if (!fs::exists(path, ignored))
        write_npz(path, {{"img_path0", below + images[i]},
                         {"img_path1", below + images[j]},
                         {"calib0", cameras[i]},
                         {"calib1", cameras[j]}});
    } catch (const Error& e) {
      if (e.id() != ErrorId::argument) throw;
      part.problems.push_back(e.what());  // a name that the file cannot hold
      continue;
    }
    ++part.pairs;
    if (done) done(part, through, int64_t(pairs.size()));
  }
  if (part.pairs == 0) part.problems.push_back(cat("yfcc: '", folder, "' gives no pair"));
  return part;
}

}  // namespace

std::vector<YfccPart> prepare_yfcc(
    const std::string& raw, const std::string& out, const YfccPrepareOptions& options,
    const std::function<void(const YfccPart&, int64_t, int64_t)>& done) {
  std::error_code error;
  std::vector<std::string> scenes;
  for (fs::directory_iterator it(raw, error), end; !error && it != end; it.increment(error))
    scenes.push_back(it->path().filename());
  require(!error, ErrorId::io, "yfcc", "cannot read the folder '", raw, "': ", error.message());
  std::ranges::sort(scenes);
  std::vector<YfccPart> parts;
  for (const std::string& scene : scenes)
    for (const char* phase : {"train", "val", "test"}) {
      if (!fs::exists(raw + "/" + scene + "/" + phase + "/images.txt", error)) continue;
      try {
        parts.push_back(prepare_part(raw, out, scene, phase, options, done));
      } catch (const Error& e) {
        if (e.id() != ErrorId::format && e.id() != ErrorId::io) throw;
        parts.push_back({scene, phase, 0, {e.what()}});
      }
    }
  require(!parts.empty(), ErrorId::io, "yfcc", "'", raw,
          "' holds no <scene>/<train|val|test>/images.txt");
  return parts;
}

}  // namespace cairn

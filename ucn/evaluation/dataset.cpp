#include "ucn/evaluation/dataset.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "data/photo_cache.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace cairn::ucn {
namespace {

namespace fs = std::filesystem;

std::string pair_name(const std::string& photo0, const std::string& photo1) {
  const auto flat = [](const std::string& photo) {
    std::string name = fs::path(photo).replace_extension();
    std::ranges::replace(name, '/', '-');
    return name;
  };
  return flat(photo0) + "_" + flat(photo1);
}

std::vector<double> numbers(const std::string& text, bool& fine) {
  std::istringstream words(text);
  std::vector<double> values;
  for (double v; words >> v;) values.push_back(v);
  fine = words.eof() && std::ranges::all_of(values, [](double v) { return std::isfinite(v); });
  return values;
}

KnownPair::Pose pose_of(const double* v) {
  KnownPair::Pose p;
  for (size_t k = 0; k < 2; ++k, v += 9) p.cameras[k] = {v[0], v[4], v[2], v[5]};
  for (size_t i = 0; i < 3; ++i) {
    std::copy_n(v + 4 * i, 3, p.pose.rotation.data() + 3 * i);
    p.pose.translation[i] = v[4 * i + 3];
  }
  return p;
}

KnownPairs read_list(const fs::path& path) {
  KnownPairs set{path.parent_path().filename(), {}};
  for (const std::string& line : read_lines(path, "eval")) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    KnownPair pair;
    std::string rest;
    words >> pair.photo0 >> pair.photo1;
    std::getline(words, rest);
    bool fine = false;
    std::vector<double> v = numbers(rest, fine);
    if (v.size() == 36) {
      pair.rotation0 = (int(v[0]) % 4 + 4) % 4;
      pair.rotation1 = (int(v[1]) % 4 + 4) % 4;
      v.erase(v.begin(), v.begin() + 2);
    }
    if (v.size() == 9) {
      pair.homography.emplace();
      std::ranges::copy(v, pair.homography->begin());
    } else if (v.size() == 34) {
      pair.pose = pose_of(v.data());
      fine &= pair.pose->cameras[0].fx > 0 && pair.pose->cameras[1].fx > 0;
    }
    require(fine && (pair.homography || pair.pose), ErrorId::format, "eval", "'", path.string(),
            "': '", line.substr(0, 60),
            "' is not two photos and 9 numbers (a homography), 34 or 36 (a pose)");
    pair.name = pair_name(pair.photo0, pair.photo1);
    pair.photo0 = path.parent_path() / pair.photo0;
    pair.photo1 = path.parent_path() / pair.photo1;
    set.pairs.push_back(pair);
  }
  require(!set.pairs.empty(), ErrorId::format, "eval", "'", path.string(), "' lists no pair");
  return set;
}

/// The pairs of one of HPatches' or Oxford's sequences; none if the folder is no such thing.
std::vector<KnownPair> sequence(const fs::path& folder) {
  const auto photo = [&](int k) -> fs::path {
    for (const char* name : {"", "img"})
      for (const char* extension : {".ppm", ".png", ".jpg", ".pgm"}) {
        const fs::path path = folder / (name + std::to_string(k) + extension);
        if (fs::exists(path)) return path;
      }
    return {};
  };
  std::vector<KnownPair> pairs;
  for (int k = 2; k < 100; ++k) {
    fs::path truth;
    for (const std::string& name : {cat("H_1_", k), cat("H1to", k, "p"), cat("H1to", k)})
      if (fs::exists(folder / name)) truth = folder / name;
    if (truth.empty()) break;
    bool fine = false;
    const auto bytes = read_file(truth, 1 << 16, "eval");
    const auto v = numbers({bytes.begin(), bytes.end()}, fine);
    require(fine && v.size() == 9, ErrorId::format, "eval", "'", truth.string(),
            "' is not nine numbers");
    require(!photo(1).empty() && !photo(k).empty(), ErrorId::format, "eval", "'", folder.string(),
            "' has ", truth.filename().string(), ", but not both photos");
    KnownPair pair;
    pair.photo0 = photo(1);
    pair.photo1 = photo(k);
    pair.name =
        pair_name(folder.filename() / photo(1).filename(), folder.filename() / photo(k).filename());
    pair.homography.emplace();
    std::ranges::copy(v, pair.homography->begin());
    pair.illumination = folder.filename().string().starts_with("i_");
    pairs.push_back(pair);
  }
  return pairs;
}

void find_in(const fs::path& folder, int depth, std::vector<KnownPairs>& sets) {
  bool listed = false;
  for (const char* name : {"pairs_homography.txt", "pairs_pose.txt"})
    if (fs::exists(folder / name)) {
      sets.push_back(read_list(folder / name));
      listed = true;
    }
  if (listed) return;
  std::vector<fs::path> below;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_directory(error)) below.push_back(entry.path());
  std::ranges::sort(below);
  KnownPairs own{folder.filename(), {}};
  for (const fs::path& f : below) std::ranges::copy(sequence(f), std::back_inserter(own.pairs));
  if (!own.pairs.empty()) {
    sets.push_back(own);
  } else if (const auto single = sequence(folder); !single.empty()) {
    sets.push_back({folder.filename(), single});
  } else if (depth > 0) {
    for (const fs::path& f : below) find_in(f, depth - 1, sets);
  }
}

}  // namespace

std::vector<KnownPairs> find_known_pairs(const std::string& path) {
  std::error_code error;
  std::vector<KnownPairs> sets;
  if (!fs::is_directory(path, error)) return {read_list(path)};
  fs::path folder = fs::path(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // "a/b/" is "a/b"
  find_in(folder, 1, sets);
  return sets;
}

KnownPairs warped_pairs(const std::string& folder, int64_t count,
                        const HomographyPairsOptions& options, uint64_t seed) {
  PhotoCache photos(find_images(folder), {options.channels, options.max_side, options.cache_bytes});
  require(photos.size() > 0, ErrorId::io, "eval", "no images: '", folder,
          "' holds no photo that is known by its ending");
  KnownPairs set{fs::path(folder).filename(), {}};
  Random random(seed);
  for (int64_t k = 0; int64_t(set.pairs.size()) < count; ++k) {
    require(k < 2 * count + photos.size(), ErrorId::io, "eval", "the photos in '", folder,
            "' cannot be read");
    const auto photo = photos.get(k % photos.size());
    if (!photo) continue;
    const Views views = sample_views(photo->height(), photo->width(), options.views, random);
    const auto view = [&](const Homography& map) {
      const Tensor picture =
          change_appearance(warp(*photo, map, options.views.height, options.views.width),
                            options.photometric, random);
      Tensor pixels = Tensor::empty(picture.shape(), DType::u8);
      std::ranges::transform(picture.span<float>(), pixels.data<uint8_t>(), [](float v) {
        return uint8_t(std::lround(std::clamp(v, 0.0f, 255.0f)));
      });
      return pixels;
    };
    KnownPair pair;
    pair.image0 = view(views.view0_to_photo);
    pair.image1 = view(views.view1_to_photo);
    pair.homography = compose(inverse(views.view1_to_photo), views.view0_to_photo);
    pair.photo0 = pair.photo1 = photos.path(k % photos.size());
    pair.name = cat(fs::path(pair.photo0).stem().string(), "-", set.pairs.size());
    set.pairs.push_back(pair);
  }
  return set;
}

}  // namespace cairn::ucn

#include "data/yfcc/pairs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "data/image.h"
#include "tensor/file.h"
#include "tensor/kernels/nearest/nearest.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

/// The pair files of a phase, by name.
std::vector<fs::path> find_files(const std::string& folder, const std::string& phase) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (it.depth() == 1 && name.starts_with(phase + "_") && name.ends_with(".npz"))
      found.push_back(it->path());
  }
  require(!error, ErrorId::io, "yfcc", "cannot read the folder '", folder, "': ", error.message());
  require(!found.empty(), ErrorId::io, "yfcc", "'", folder, "' has no pairs of the phase '", phase,
          "' (<scene>/", phase, "_<i>_<j>.npz)");
  std::ranges::sort(found);
  return found;
}

struct PairFile {
  std::string image0, image1;
  YfccCalibration camera0, camera1;
};

PairFile read_pair(const std::string& path) {
  const NpzArchive entries = read_npz(path, 1 << 20);
  const auto entry = [&]<class T>(const char* name, T) {
    const auto found = entries.find(name);
    const T* value = found == entries.end() ? nullptr : std::get_if<T>(&found->second);
    require(value, ErrorId::format, "yfcc", "'", path, "' has no ", name, " of its kind");
    return *value;
  };
  const auto camera = [&](const char* name) {
    return YfccCalibration::from_tensor(entry(name, Tensor()), path);
  };
  return {entry("img_path0", std::string()), entry("img_path1", std::string()), camera("calib0"),
          camera("calib1")};
}

/// Keypoints in the photo's pixels (K x 2 f64) and their descriptors (K x 128 f32).
struct Described {
  Tensor positions, descriptors;
};

Described keypoints_of(const Pyramid& photo, const std::string& kept, const SiftOptions& options) {
  std::error_code ignored;
  const std::string of =
      cat(photo.width(), " x ", photo.height(), ", ", options.max_keypoints, ", ",
          options.octave_layers, ", ", options.contrast, ", ", options.edge, ", ", options.sigma);
  if (fs::exists(kept, ignored)) try {
      const NpzArchive entries = read_npz(kept);
      const Tensor positions = std::get<Tensor>(entries.at("positions"));
      const Tensor bytes = std::get<Tensor>(entries.at("descriptors"));
      if (std::get<std::string>(entries.at("of")) == of &&
          positions.shape() == Shape{bytes.dim(0), 2} && bytes.dim(1) == 128 &&
          positions.dtype() == DType::f64)
        return {positions, bytes.to(DType::f32)};
    } catch (const std::exception&) {  // damaged: computed again
    }
  const SiftFeatures found = sift(to_gray(photo.levels()[0]), options);
  Described d{Tensor::empty({int64_t(found.keypoints.size()), 2}, DType::f64), found.descriptors};
  double* p = d.positions.data<double>();
  for (const SiftKeypoint& k : found.keypoints) {
    *p++ = double(k.x);
    *p++ = double(k.y);
  }
  fs::create_directories(fs::path(kept).parent_path(), ignored);
  try {
    write_npz(
        kept,
        {{"of", of}, {"positions", d.positions}, {"descriptors", d.descriptors.to(DType::u8)}});
  } catch (const Error&) {  // where nothing can be written they are computed each time
  }
  return d;
}

}  // namespace

YfccPairs::YfccPairs(const std::string& raw, const std::string& pairs,
                     const YfccPairsOptions& options)
    : raw_(raw), options_(options) {
  require(options.channels == 1 || options.channels == 3, ErrorId::argument, "yfcc", "channels is ",
          options.channels, ", not 1 or 3");
  check(options.views);
  require(!options.sift.root, ErrorId::argument, "yfcc",
          "descriptors are kept as bytes, not roots");
  yfcc_scenes(options.phase);  // is it a phase?
  std::vector<std::string> paths;
  std::map<std::string, std::pair<int64_t, int64_t>> photos_of;  // a scene's first photo, and count
  for (const fs::path& path : find_files(pairs, options.phase)) {
    const std::string scene = path.parent_path().filename();
    const std::string folder = raw + "/" + scene + "/" + options.phase + "/";
    if (!photos_of.contains(scene)) {
      const auto images = read_lines(folder + "images.txt", "yfcc");
      photos_of[scene] = {int64_t(paths.size()), int64_t(images.size())};
      for (const std::string& image : images) paths.push_back(folder + image);
    }
    const auto [first, count] = photos_of[scene];
    long long i = -1, j = -1;
    const std::string numbers = path.stem().string().substr(options.phase.size());
    if (std::sscanf(numbers.c_str(), "_%lld_%lld", &i, &j) != 2 || i < 0 || j < 0 || i >= count ||
        j >= count) {
      broken_.push_back({path, cat("yfcc: '", path.string(), "': its name is of no two photos of '",
                                   folder, "images.txt'")});
      continue;
    }
    const auto kept = [&](int64_t photo) {
      return path.parent_path() / (options.phase + "-sift") / cat(photo, ".npz");
    };
    files_.push_back({path, kept(i), kept(j), first + i, first + j});
  }
  require(!files_.empty(), ErrorId::io, "yfcc",
          "no pair can be used; the first: ", broken_.empty() ? "" : broken_[0].message);
  photos_ =
      std::make_unique<PhotoCache>(paths, PhotoCache::Options{.channels = options.channels,
                                                              .max_side = options.max_side,
                                                              .max_bytes = options.cache_bytes,
                                                              .respect_exif = false});
  Random random(0);
  get(0, random);  // fails now if nothing can be used
}

YfccPairs::Matches YfccPairs::matches(const File& file, const Pyramid& photo0,
                                      const Pyramid& photo1) const {
  const PairFile pair = read_pair(file.path);
  for (const auto& [image, photo] :
       {std::pair(&pair.image0, file.photo0), std::pair(&pair.image1, file.photo1)})
    require(raw_ + "/" + *image == photos_->path(photo), ErrorId::format, "yfcc", "'", file.path,
            "' is of '", *image, "', not of '", photos_->path(photo), "'");
  const Described k0 = keypoints_of(photo0, file.keypoints0, options_.sift);
  const Described k1 = keypoints_of(photo1, file.keypoints1, options_.sift);
  if (k0.positions.dim(0) == 0 || k1.positions.dim(0) == 0) return {};
  const auto found = kernels::nearest(k0.descriptors, k1.descriptors);

  // The calibration may be of another size than the photo that was read, but not of another shape.
  for (const auto& [camera, photo] :
       {std::pair(&pair.camera0, &photo0), std::pair(&pair.camera1, &photo1)}) {
    const auto [width, height] = camera->size;
    const auto w = double(photo->width()), h = double(photo->height());
    require(std::fabs(w * height - h * width) <= std::max(width, height), ErrorId::format, "yfcc",
            "'", file.path, "': a photo of ", w, " x ", h, " pixels is said to have ", width, " x ",
            height);
  }
  const auto calibrated = [](const YfccCalibration& c, const Pyramid& photo, const double* p) {
    return Point{(p[0] + 0.5) * c.size[0] / double(photo.width()) - 0.5,
                 (p[1] + 0.5) * c.size[1] / double(photo.height()) - 0.5};
  };
  std::vector<std::array<double, 4>> candidates;
  std::vector<double> p0, p1;
  for (int64_t i = 0; i < k0.positions.dim(0); ++i) {
    const double d = found.distance.data<float>()[i], second = found.second.data<float>()[i];
    if (options_.ratio < 1 && !(std::sqrt(d) < options_.ratio * std::sqrt(second))) continue;
    const double* a = k0.positions.data<double>() + 2 * i;
    const double* b = k1.positions.data<double>() + 2 * found.index.data<int64_t>()[i];
    candidates.push_back({a[0], a[1], b[0], b[1]});
    for (double v : calibrated(pair.camera0, photo0, a)) p0.push_back(v);
    for (double v : calibrated(pair.camera1, photo1, b)) p1.push_back(v);
  }
  const auto count = int64_t(candidates.size());
  const Tensor at0 = Tensor::from({count, 2}, p0), at1 = Tensor::from({count, 2}, p1);
  const Tensor residuals = epipolar_residuals(pair.camera0, pair.camera1, at0, at1);
  const Tensor angles = sight_angles(pair.camera0, pair.camera1, at0, at1);
  Matches confirmed{};
  std::vector<double> seen_under;
  for (int64_t i = 0; i < count; ++i) {
    if (!(residuals.data<double>()[i] < options_.max_residual)) continue;
    confirmed.positions.push_back(candidates[size_t(i)]);
    seen_under.push_back(angles.data<double>()[i]);
  }
  confirmed.angle = median(std::move(seen_under));
  return confirmed;
}

Pair YfccPairs::get(int64_t index, Random& random) const {
  require(index >= 0 && index < size(), ErrorId::index, "yfcc", "no pair ", index, " among ",
          size());
  for (int64_t step = 0; step < size(); ++step) {
    const File& file = files_[size_t((index + step) % size())];
    const auto photo0 = photos_->get(file.photo0), photo1 = photos_->get(file.photo1);
    if (!photo0 || !photo1) continue;
    try {
      const auto found = matches(file, *photo0, *photo1);
      if (found.positions.empty()) continue;
      Pair pair = cut_pair(*photo0, *photo1, found.positions, options_.views, random);
      pair.angle = found.angle;
      pair.name = cat(photos_->path(file.photo0), " + ", photos_->path(file.photo1));
      return pair;
    } catch (const Error& e) {
      if (e.id() != ErrorId::io && e.id() != ErrorId::format) throw;
      std::lock_guard lock(mutex_);
      if (std::ranges::find(broken_, file.path, &BrokenPhoto::path) == broken_.end())
        broken_.push_back({file.path, e.what()});
    }
  }
  const auto all = broken();
  throw Error(ErrorId::io, "yfcc",
              cat("no pair can be used",
                  all.empty() ? "" : "; the first: ", all.empty() ? "" : all[0].message));
}

std::string YfccPairs::description() const {
  return cat(size(), " pairs of YFCC100M (", options_.phase, ") in '", raw_, "'");
}

std::vector<BrokenPhoto> YfccPairs::broken() const {
  auto all = photos_->broken();
  std::lock_guard lock(mutex_);
  all.insert(all.end(), broken_.begin(), broken_.end());
  return all;
}

}  // namespace cairn

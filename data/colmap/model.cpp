#include "data/colmap/model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "tensor/error.h"
#include "tensor/file.h"

namespace cairn {
namespace {

/// What both kinds of file are read through: one number after the other.
class Source {
 public:
  Source(std::span<const uint8_t> bytes, std::string name) : name(std::move(name)), bytes_(bytes) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorId::format, "colmap", cat(name, ": ", what));
  }
  void check(bool ok, const std::string& what) const {
    if (!ok) fail(what);
  }

  const std::string name;

 protected:
  std::span<const uint8_t> bytes_;
};

class BinaryFile : public Source {
 public:
  using Source::Source;

  template <class T>
  T take() {
    check(bytes_.size() >= sizeof(T), "the file ends too early");
    T value;
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  /// A number of things that take at least so many bytes each.
  uint64_t count(size_t bytes_each) {
    const auto n = take<uint64_t>();
    check(n <= bytes_.size() / bytes_each, cat("it says ", n, " entries, more than it can hold"));
    return n;
  }
  std::string text() {
    const auto end = std::ranges::find(bytes_, 0);
    check(end != bytes_.end(), "the file ends within a name");
    std::string s(bytes_.begin(), end);
    bytes_ = bytes_.subspan(s.size() + 1);
    return s;
  }
};

/// Lines without those that begin with #, as words.
class TextFile : public Source {
 public:
  using Source::Source;

  /// False at the end of the file.
  bool next_line() {
    while (!bytes_.empty()) {
      const auto end = std::ranges::find(bytes_, '\n');
      line_.assign(bytes_.begin(), end);
      bytes_ = bytes_.subspan(std::min(line_.size() + 1, bytes_.size()));
      ++number_;
      if (line_.starts_with('#')) continue;
      while (!line_.empty() && std::isspace(static_cast<unsigned char>(line_.back())))
        line_.pop_back();
      rest_ = line_;
      return true;
    }
    return false;
  }
  bool empty() { return word_ahead().empty(); }
  std::string text() {
    const std::string_view word = word_ahead();
    if (word.empty()) fail_line("it ends too early");
    rest_.remove_prefix(word.size());
    return std::string(word);
  }
  /// All that is left of the line.
  std::string rest() {
    word_ahead();
    return std::string(rest_);
  }
  template <class T>
  T take() {
    const std::string word = text();
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size())
      fail_line(cat("'", word, "' is not a number of its kind"));
    return value;
  }
  [[noreturn]] void fail_line(const std::string& what) const {
    fail(cat("line ", number_, ": ", what));
  }

 private:
  std::string_view word_ahead() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
    return rest_.substr(0, rest_.find_first_of(" \t"));
  }
  std::string line_;
  std::string_view rest_;
  int64_t number_ = 0;
};

constexpr auto no_point = uint64_t(-1);

void add_camera(ColmapModel& model, const Source& file, uint32_t id, Camera camera) {
  const auto bad = [&](const std::string& what) { file.fail(cat("camera ", id, ": ", what)); };
  if (camera.width < 1 || camera.height < 1 || camera.width > 1 << 24 || camera.height > 1 << 24)
    bad(cat("it is ", camera.width, " x ", camera.height, " pixels"));
  for (double p : camera.parameters)
    if (!std::isfinite(p)) bad("a parameter is not finite");
  for (int i = 0; i <= int(camera.model->two_focal_lengths); ++i)
    if (!(camera.parameters[size_t(i)] > 0)) bad("a focal length is not positive");
  if (!model.cameras.emplace(id, std::move(camera)).second) bad("it comes twice");
}

void add_image(ColmapModel& model, const Source& file, uint32_t id, PosedImage image,
               const std::array<double, 4>& quaternion) {
  const auto bad = [&](const std::string& what) { file.fail(cat("image ", id, ": ", what)); };
  if (!model.cameras.contains(image.camera)) bad(cat("there is no camera ", image.camera));
  if (image.name.empty()) bad("it has no name");
  auto [w, x, y, z] = quaternion;
  const double length = std::sqrt(w * w + x * x + y * y + z * z);
  if (!std::isfinite(length) || !(length > 1e-6)) bad("its rotation is none");
  for (double* v : {&w, &x, &y, &z}) *v /= length;
  for (double t : image.translation)
    if (!std::isfinite(t)) bad("its position is not finite");
  image.rotation = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                    2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                    2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
  std::ranges::sort(image.observations, {}, &Observation::point);
  // A point seen twice in one photo is a mistake of the reconstruction: which one is not known.
  std::vector<Observation> once;
  for (size_t i = 0; i < image.observations.size(); ++i) {
    const Observation& o = image.observations[i];
    if (!std::isfinite(o.x) || !std::isfinite(o.y)) bad("a keypoint is not finite");
    const bool before = i > 0 && image.observations[i - 1].point == o.point;
    const bool after =
        i + 1 < image.observations.size() && image.observations[i + 1].point == o.point;
    if (!before && !after) once.push_back(o);
  }
  image.observations = std::move(once);
  model.images.push_back(std::move(image));
}

void add_point(ColmapModel& model, const Source& file, uint64_t id,
               const std::array<double, 3>& at) {
  for (double v : at)
    file.check(std::isfinite(v), cat("point ", id, ": its position is not finite"));
  file.check(model.points.emplace(id, at).second, cat("point ", id, ": it comes twice"));
}

// What both forms have alike.

template <size_t n, class File>
std::array<double, n> take_numbers(File& file) {
  std::array<double, n> numbers;
  for (double& v : numbers) v = file.template take<double>();
  return numbers;
}

template <class File>
Camera take_camera(File& file, const CameraModel& model) {
  Camera camera{&model, 0, 0, {}};
  camera.width = file.template take<int64_t>();
  camera.height = file.template take<int64_t>();
  for (int i = 0; i < model.parameters; ++i)
    camera.parameters.push_back(file.template take<double>());
  return camera;
}

void read_binary(ColmapModel& model, BinaryFile cameras, BinaryFile images, BinaryFile points) {
  for (uint64_t n = cameras.count(24); n > 0; --n) {
    const auto id = cameras.take<uint32_t>();
    const auto kind = cameras.take<uint32_t>();
    cameras.check(kind < camera_models().size(), cat("there is no camera model ", kind));
    add_camera(model, cameras, id, take_camera(cameras, camera_models()[kind]));
  }
  for (uint64_t n = images.count(73); n > 0; --n) {
    const auto id = images.take<uint32_t>();
    const auto quaternion = take_numbers<4>(images);
    PosedImage image;
    image.translation = take_numbers<3>(images);
    image.camera = images.take<uint32_t>();
    image.name = images.text();
    for (uint64_t k = images.count(24); k > 0; --k) {
      Observation o{};
      o.x = images.take<double>();
      o.y = images.take<double>();
      o.point = images.take<uint64_t>();
      if (o.point != no_point) image.observations.push_back(o);
    }
    add_image(model, images, id, std::move(image), quaternion);
  }
  for (uint64_t n = points.count(43); n > 0; --n) {
    const auto id = points.take<uint64_t>();
    const auto at = take_numbers<3>(points);
    for (int i = 0; i < 3; ++i) points.take<uint8_t>();                      // its colour
    points.take<double>();                                                   // its error
    for (uint64_t k = points.count(8); k > 0; --k) points.take<uint64_t>();  // its track
    add_point(model, points, id, at);
  }
}

void read_text(ColmapModel& model, TextFile cameras, TextFile images, TextFile points) {
  while (cameras.next_line()) {
    if (cameras.empty()) continue;
    const auto id = cameras.take<uint32_t>();
    const std::string kind = cameras.text();
    const auto found = std::ranges::find(camera_models(), kind, &CameraModel::name);
    if (found == camera_models().end())
      cameras.fail_line(cat("there is no camera model '", kind, "'"));
    add_camera(model, cameras, id, take_camera(cameras, *found));
  }
  while (images.next_line()) {
    if (images.empty()) continue;
    const auto id = images.take<uint32_t>();
    const auto quaternion = take_numbers<4>(images);
    PosedImage image;
    image.translation = take_numbers<3>(images);
    image.camera = images.take<uint32_t>();
    image.name = images.rest();
    images.check(images.next_line(), cat("image ", id, " has no line of keypoints"));
    while (!images.empty()) {
      Observation o{};
      o.x = images.take<double>();
      o.y = images.take<double>();
      const auto point = images.take<int64_t>();
      o.point = uint64_t(point);
      if (point >= 0) image.observations.push_back(o);
    }
    add_image(model, images, id, std::move(image), quaternion);
  }
  while (points.next_line()) {
    if (points.empty()) continue;
    const auto id = points.take<uint64_t>();
    const auto at = take_numbers<3>(points);
    add_point(model, points, id, at);
  }
}

double dot(const double* a, const std::array<double, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

}  // namespace

ColmapModel parse_colmap_model(const std::array<std::span<const uint8_t>, 3>& files, bool binary,
                               const std::array<std::string, 3>& names) {
  ColmapModel model;
  if (binary)
    read_binary(model, {files[0], names[0]}, {files[1], names[1]}, {files[2], names[2]});
  else
    read_text(model, {files[0], names[0]}, {files[1], names[1]}, {files[2], names[2]});
  for (const PosedImage& image : model.images)
    for (const Observation& o : image.observations)
      require(model.points.contains(o.point), ErrorId::format, "colmap", names[1], ": '",
              image.name, "' sees point ", o.point, ", which ", names[2], " does not have");
  return model;
}

ColmapModel read_colmap_model(const std::string& folder) {
  std::error_code ignored;
  const bool binary = std::filesystem::exists(folder + "/cameras.bin", ignored);
  const std::string ending = binary ? ".bin" : ".txt";
  require(!folder.ends_with(".npz"), ErrorId::io, "colmap", "'", folder,
          "' is no folder of a reconstruction; an index of MegaDepth's holds pickles, which are "
          "programs and not read: give the scene's own reconstruction (docs/data.md)");
  require(binary || std::filesystem::exists(folder + "/cameras.txt", ignored), ErrorId::io,
          "colmap", "'", folder, "' holds no reconstruction: neither cameras.bin nor cameras.txt");
  std::array<std::string, 3> paths{folder + "/cameras" + ending, folder + "/images" + ending,
                                   folder + "/points3D" + ending};
  std::array<std::vector<uint8_t>, 3> files;
  for (size_t i = 0; i < 3; ++i) files[i] = read_file(paths[i], int64_t{1} << 36, "colmap");
  return parse_colmap_model({files[0], files[1], files[2]}, binary, paths);
}

std::array<double, 3> to_camera(const PosedImage& image, const std::array<double, 3>& world) {
  const auto& t = image.translation;
  const double* r = image.rotation.data();
  return {dot(r, world) + t[0], dot(r + 3, world) + t[1], dot(r + 6, world) + t[2]};
}

std::array<double, 3> to_world(const PosedImage& image, const std::array<double, 3>& seen) {
  const auto& r = image.rotation;
  std::array<double, 3> from_center, world;
  for (size_t i = 0; i < 3; ++i) from_center[i] = seen[i] - image.translation[i];
  for (size_t i = 0; i < 3; ++i)
    world[i] = r[i] * from_center[0] + r[3 + i] * from_center[1] + r[6 + i] * from_center[2];
  return world;
}

std::array<double, 3> camera_center(const PosedImage& image) { return to_world(image, {0, 0, 0}); }

double reprojection_error(const ColmapModel& model, const PosedImage& image, const Observation& o) {
  const auto [x, y] =
      project(model.cameras.at(image.camera), to_camera(image, model.points.at(o.point)));
  return std::hypot(x - o.x, y - o.y);
}

}  // namespace cairn

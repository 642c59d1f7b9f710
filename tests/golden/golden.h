// What the golden tests share: the folder of files, the rule that rebuilds their inputs, the
// report. files/README.md says what the files hold.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "nn/safetensors.h"
#include "tensor/kernels/layout/layout.h"

namespace cairn::golden {

using nn::TensorFile;
using Results = std::map<std::string, Tensor>;  ///< our numbers, by the names the file has

// The fill rule.

inline uint64_t fnv1a64(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

inline uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// A tensor "filled by name" in (lo, hi); shape in PyTorch's layout, f32.
inline Tensor filled(const std::string& name, const Shape& shape, double lo, double hi,
                     uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  const uint64_t start = fnv1a64(name) + seed;
  const float first = float(lo), width = float(hi) - float(lo);
  for (int64_t i = 0; i < t.numel(); ++i)
    t.data<float>()[i] = first + width * (float(splitmix64(start + uint64_t(i)) >> 40) * 0x1p-24f);
  return t;
}

/// Fills every parameter and buffer of a module by its name.
inline void fill_model(nn::Module& model, uint64_t seed) {
  auto state = nn::export_state(model);
  for (auto& [name, t] : state) {
    const Shape& s = t.shape();
    if (name.ends_with("num_batches_tracked")) continue;
    double lo = 0.5, hi = 1.5;  // running_var and the norms' weights
    if (s.rank() == 4) {
      const bool transposed =
          name == "conv4_tr.weight" || name == "conv3_tr.weight" || name == "conv2_tr.weight";
      hi = std::sqrt(3.0 / double(s[transposed ? 0 : 1] * s[2] * s[3]));
      lo = -hi;
    } else if (name.ends_with("running_mean") || name.ends_with("bias")) {
      lo = -0.2, hi = 0.2;
    }
    t = filled(name, s, lo, hi, seed);
  }
  nn::import_state(model, state, "fill");
}

/// Where everything is computed: on the GPU if the environment variable GOLDEN_DEVICE is "cuda".
inline Device device() {
  const char* name = std::getenv("GOLDEN_DEVICE");
  return name && std::string(name) == "cuda" ? Device::cuda : Device::cpu;
}

// Layouts.

inline Tensor to_nhwc(const Tensor& x, DType type) {
  return kernels::permute(x.to(type), {0, 2, 3, 1}).to(device());
}
/// N x H x W x C images and O x h x w x I weights to PyTorch's order; others as they are.
inline Tensor to_pytorch(const Tensor& x) {
  return x.rank() == 4 ? kernels::permute(x, {0, 3, 1, 2}) : x;
}

/// For tensors that a file holds by two numbers each: the L2 norm, and the dot product with the
/// tensor filled by name probe.<name> in (-1, 1).
struct Digest {
  std::vector<double> norms, probes;
  void add(const std::string& name, const Tensor& tensor, uint64_t seed) {
    const auto values = to_pytorch(tensor).to_vector();
    const Tensor probe = filled("probe." + name, {int64_t(values.size())}, -1, 1, seed);
    double square = 0, dot = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      square += values[i] * values[i];
      dot += values[i] * double(probe.data<float>()[i]);
    }
    norms.push_back(std::sqrt(square));
    probes.push_back(dot);
  }
  static Tensor tensor(const std::vector<double>& v) {
    return Tensor::from({int64_t(v.size())}, v);
  }
};

// Metadata and names.

/// The number that the text under `key` begins with.
inline double number(const std::map<std::string, std::string>& texts, const std::string& key,
                     double otherwise) {
  const auto it = texts.find(key);
  return it == texts.end() ? otherwise : std::stod(it->second);
}
inline std::string text(const TensorFile& file, const std::string& key,
                        const std::string& otherwise = "") {
  const auto it = file.metadata.find(key);
  return it == file.metadata.end() ? otherwise : it->second;
}
/// The seed of the fill: a case's own (<case>.seed), else the file's, else 0.
inline uint64_t seed(const TensorFile& file, const std::string& key = "") {
  const double own = number(file.metadata, key + ".seed", -1);
  return uint64_t(own >= 0 ? own : number(file.metadata, "seed", 0));
}

inline std::vector<std::string> split(const std::string& s, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(s);
  for (std::string part; std::getline(in, part, separator);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}
/// "num_pos=30 pos_thresh=0.1" by name.
inline std::map<std::string, std::string> settings(const std::string& s) {
  std::map<std::string, std::string> values;
  for (const auto& part : split(s, ' '))
    if (const size_t at = part.find('='); at != std::string::npos)
      values[part.substr(0, at)] = part.substr(at + 1);
  return values;
}
/// "1x1x21x30".
inline Shape shape_of(const std::string& s) {
  std::vector<int64_t> dims;
  for (const auto& part : split(s, 'x')) dims.push_back(std::stoll(part));
  return Shape(std::span<const int64_t>(dims));
}

inline const Tensor& find(const TensorFile& file, const std::string& name) {
  const Tensor* t = file.find(name);
  require(t, ErrorId::format, "golden", "the file has no ", name);
  return *t;
}
/// What precedes `suffix` in the names that end in it: the cases of a file.
inline std::set<std::string> before(const TensorFile& file, const std::string& suffix) {
  std::set<std::string> names;
  for (const auto& t : file.tensors)
    if (t.name.ends_with(suffix)) names.insert(t.name.substr(0, t.name.size() - suffix.size()));
  return names;
}

// Comparing and reporting.

/// The largest |ours - golden| over a tensor, divided by the largest |golden| in it (by 1 if it is
/// all zeros). Infinite when shapes differ or a NaN stands in one only; NaN agrees with NaN.
inline double relative(const Tensor& ours, const Tensor& golden) {
  if (!(ours.shape() == golden.shape())) return INFINITY;
  const auto a = ours.to_vector(), b = golden.to_vector();
  double largest = 0, error = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (!std::isfinite(a[i] - b[i])) return INFINITY;
    largest = std::max(largest, std::fabs(b[i]));
    error = std::max(error, std::fabs(a[i] - b[i]));
  }
  return error / (largest > 0 ? largest : 1);
}

/// Where the files are: $GOLDEN_DIR, or the project's own copy.
inline std::filesystem::path folder() {
  const char* dir = std::getenv("GOLDEN_DIR");
  return dir && *dir ? dir : CAIRN_SOURCE_DIR "/tests/golden/files";
}

/// What a file's line says: the cases run, and the error that came nearest to its tolerance.
class Report {
 public:
  explicit Report(std::string file) : file_(std::move(file)) {}

  /// A file beside the one that is checked.
  std::string beside(const std::string& name) const {
    return (folder() / file_).replace_filename(name).string();
  }
  void begin(const std::string& name) {
    case_ = name;
    ++cases_;
  }
  void compare(const std::string& what, double error, double tolerance) {
    const bool ok = error <= tolerance;
    CHECK_MESSAGE(ok, file_, ": ", case_, " ", what, ": error ", error, ", allowed ", tolerance);
    failed_ += !ok;
    const double share = ok ? (error > 0 ? error / tolerance : 0) : INFINITY;
    if (where_.empty() || share > share_) {
      share_ = share;
      error_ = error;
      tolerance_ = tolerance;
      where_ = case_ + " " + what;
    }
  }
  void compare(const std::string& what, const Tensor& ours, const Tensor& golden,
               double tolerance) {
    compare(what, relative(ours, golden), tolerance);
  }
  void fail(const std::string& why) {
    ++failed_;
    FAIL_CHECK(file_, ": ", case_, " ", why);
  }
  void print() {
    if (cases_ == 0 && failed_ == 0) fail("holds no case of its kind");
    std::printf("%-34s %3d cases, largest error %.1e (allowed %.0e: %s)%s\n", file_.c_str(), cases_,
                error_, tolerance_, where_.c_str(),
                failed_ ? cat(", ", failed_, " FAILED").c_str() : "");
    std::fflush(stdout);
  }

 private:
  std::string file_, case_, where_;
  int cases_ = 0, failed_ = 0;
  double share_ = 0, error_ = 0, tolerance_ = 0;
};

/// The kinds of files: how the names of some tensors in them end, and the files that there should
/// be.
struct Kind {
  std::string marker;
  std::set<std::string> expected;
};
inline const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {".output", {"resunet.safetensors", "resunet_bn2f_shapes.safetensors"}},
      {".pairs", {"loss.safetensors"}},
      {".losses", {"train.safetensors"}},
      {".matches", {"match.safetensors"}},
      {".trajectory", {"optim.safetensors"}},
      {".descriptors", {"sift/sift.safetensors"}},
      {".residual", {"yfcc/epipolar.safetensors"}},
      {".checkpoint",  // no name ends so: these are known by their own names
       {"checkpoints/outputs.safetensors", "checkpoints/tiny_expected.safetensors"}}};
  return all;
}

/// The kind of a file: by its name, else by what it holds; null if it has none.
inline const Kind* kind_of(const std::string& name, const TensorFile* file) {
  for (const Kind& k : kinds())
    if (k.expected.contains(name)) return &k;
  for (const Kind& k : kinds())
    if (file && !before(*file, k.marker).empty()) return &k;
  return nullptr;
}

/// Runs `check` on every file of one kind and prints a line for each: the expected ones, and all
/// others in their folders. The first kind also reports the files that are of none.
template <class Check>
void check_files(const std::string& marker, Check&& check) {
  REQUIRE_MESSAGE(std::filesystem::is_directory(folder()), "GOLDEN_DIR ", folder().string(),
                  " is not a folder");
  const auto own = std::ranges::find(kinds(), marker, &Kind::marker);
  std::set<std::string> names = own->expected;
  for (const std::filesystem::path expected : own->expected) {
    const auto below = expected.parent_path();
    std::error_code absent;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / below, absent))
      if (entry.path().extension() == ".safetensors")
        names.insert((below / entry.path().filename()).string());
  }
  const bool first = marker == kinds().front().marker;
  for (const auto& name : names) {
    const Kind* kind = kind_of(name, nullptr);
    if (kind && marker != kind->marker) continue;
    if (!std::filesystem::exists(folder() / name)) {
      std::printf("%-34s absent, skipped\n", name.c_str());
      continue;
    }
    Report report(name);
    try {
      const TensorFile file = nn::load_safetensors((folder() / name).string());
      kind = kind_of(name, &file);
      if (!kind && first) std::printf("%-34s of no known kind, skipped\n", name.c_str());
      if (!kind || marker != kind->marker) continue;
      check(file, report);
    } catch (const std::exception& e) {
      if (!kind && !first) continue;
      report.fail(e.what());
    }
    report.print();
  }
}

}  // namespace cairn::golden

#include "ucn/matcher_settings.h"

#include <dlfcn.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "ucn/local_support.h"
#include "ucn/precision.h"

namespace cairn::ucn {
namespace {

using S = MatcherSettings;

struct Range {
  const char* what;
  bool (*has)(double);
};
constexpr Range positive{"positive", [](double v) { return v > 0 && std::isfinite(v); }};
constexpr Range not_negative{"0 or more", [](double v) { return v >= 0 && std::isfinite(v); }};
constexpr Range scale{"above 0 and at most 8", [](double v) { return v > 0 && v <= 8; }};

std::string wrong(const std::string& what, const std::string& value) {
  return "must be " + what + ", not " + value;
}

/// The whole text as a number in a range, or what is wrong.
template <class T>
std::string read(const std::string& text, const Range& range, T& to) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data() + text.starts_with('+'), end, value);
  if (error != std::errc() || at != end)
    return wrong(std::is_integral_v<T> ? "a whole number" : "a number", text);
  if (!range.has(double(value))) return wrong(range.what, text);
  to = value;
  return "";
}

std::string shown(double v) { return cat(v); }

/// Rows of the table; `at` gives the field.
template <class At>
Setting number(const char* group, const char* name, const char* help, Range range, At at,
               bool show = true) {
  using T = std::remove_cvref_t<decltype(at(std::declval<S&>()))>;
  return {group,
          name,
          std::is_integral_v<T> ? "N" : "X",
          help,
          [=](S& s, const std::string& text) { return read(text, range, at(s)); },
          [=](const S& s) { return show ? shown(double(at(const_cast<S&>(s)))) : ""; }};
}
template <class At>
Setting numbers(const char* group, const char* name, const char* help, Range range, size_t most,
                At at, bool show = true) {
  return {
      group,
      name,
      "X",
      help,
      [=](S& s, const std::string& text) {
        std::vector<double> values;
        for (size_t begin = 0; begin <= text.size();) {
          const size_t end = std::min(text.find(',', begin), text.size());
          if (std::string e = read(text.substr(begin, end - begin), range, values.emplace_back());
              !e.empty())
            return e;
          begin = end + 1;
        }
        if (values.size() > most) return wrong(cat("at most ", most, " numbers"), text);
        at(s) = values;
        return std::string();
      },
      [=](const S& s) {
        std::string text;
        if (show)
          for (const double v : at(const_cast<S&>(s))) text += (text.empty() ? "" : ",") + shown(v);
        return text;
      }};
}
template <class At>
Setting choice(const char* group, const char* name, const char* help,
               std::vector<std::string> choices, At at) {
  return {group,
          name,
          "NAME",
          help,
          [=](S& s, const std::string& text) {
            std::string list;
            for (size_t k = 0; k < choices.size(); ++k) {
              if (text == choices[k]) {
                at(s) = text;
                return std::string();
              }
              list += (k == 0 ? "" : k + 1 < choices.size() ? ", " : " or ") + choices[k];
            }
            return wrong(list, text);
          },
          [=](const S& s) { return at(const_cast<S&>(s)); },
          choices};
}
template <class At>
Setting flag(const char* group, const char* name, const char* help, At at) {
  return {group,
          name,
          "",
          help,
          [=](S& s, const std::string& text) {
            if (text != "true" && text != "false") return wrong("true or false", text);
            at(s) = text == "true";
            return std::string();
          },
          [](const S&) { return std::string(); }};
}

#define AT(field) \
  [](S & s) -> auto& { return s.field; }

const std::vector<Setting> table = {
    flag("Photos", "--no-exif", "leave the photos as they are stored", AT(no_exif)),
    number("Photos", "--max-size", "longer photos are reduced to it; 0: never", not_negative,
           AT(options.photo.max_size)),
    number("Photos", "--scale", "resize the photos", scale, AT(options.photo.scale)),
    numbers("Photos", "--scales", "also seen at these, say 1,0.5; the best pair counts", scale, 16,
            AT(options.scales)),
    number("Photos", "--rotations", "of B that are tried: 1, 2 (by 180 degrees) or 4",
           {"1, 2 or 4", [](double v) { return v == 1 || v == 2 || v == 4; }},
           AT(options.rotations)),
    flag("Photos", "--no-align", "mode all: look once, with neither photo resampled to the other",
         AT(no_align)),
    number("Photos", "--tile", "mode keypoints sees large photos in such tiles; 0: whole",
           {"0 or at least 64", [](double v) { return v == 0 || (v >= 64 && v < 1e9); }},
           AT(options.tile)),

    {"Search", "--model,--weights", "NAME|FILE",
     "ucn-slim or ucn-f, which come with it, or a file [ucn-slim]",
     [](S& s, const std::string& text) {
       s.weights = text;
       return std::string();
     },
     [](const S&) { return std::string(); }},
    choice("Search", "--mode",
           "keypoints, all or all_all (with all pixels) [all; folders: keypoints]",
           {"keypoints", "all", "all_all"}, AT(mode)),
    choice("Search", "--keypoints",
           "sift, corners, score, grid or all [corners; mode keypoints: sift]",
           {"sift", "corners", "score", "grid", "all"}, AT(keypoints)),
    number("Search", "--max-keypoints", "at most so many in each photo", positive,
           AT(options.keypoints.max_keypoints)),
    number("Search", "--coarse",
           "pixels coarse to fine, from every N-th; 0: exactly [mode all, CPU: 4]",
           {"0 or at least 2", [](double v) { return v == 0 || (v >= 2 && v < 1e9); }},
           AT(options.correspond.coarse), false),
    flag("Search", "--whole-pixels", "no sub-pixel refinement", AT(whole_pixels)),

    flag("Filters", "--one-way", "no search back", AT(one_way)),
    number("Filters", "--radius", "px: how near the search back must return (mode all)", positive,
           AT(options.correspond.radius)),
    flag("Filters", "--stability", "search back from a pixel moved by +-1",
         AT(options.correspond.stability)),
    number("Filters", "--seed", "of the stability test and of --verify", not_negative,
           AT(options.correspond.seed)),
    number("Filters", "--min-similarity", "least cosine of the features; -1: off",
           {"in -1..1", [](double v) { return v >= -1 && v <= 1; }},
           AT(options.correspond.min_similarity)),
    number("Filters", "--ratio",
           "distance / a rival's, in both photos, below it; 1: off [mode all: 0.7]", positive,
           AT(ratio), false),
    number("Filters", "--min-probability", "dual softmax among rivals; 0: off",
           {"in 0..1", [](double v) { return v >= 0 && v <= 1; }},
           AT(options.correspond.min_probability)),
    number("Filters", "--temperature", "of the dual softmax", positive,
           AT(options.correspond.temperature)),
    number("Filters", "--support",
           "other matches nearby that must move as it does; 0: off [3; all_all: 0]",
           {"in 0..20", [](double v) { return v >= 0 && v <= 20; }}, AT(options.correspond.support),
           false),

    choice("Geometry", "--verify", "by RANSAC: none, homography, fundamental or essential",
           {"none", "homography", "fundamental", "essential"}, AT(verify)),
    number("Geometry", "--threshold", "px of the files: how far an inlier may be", positive,
           AT(threshold)),
    numbers("Geometry", "--focal", "px, of one or both (essential); default: 1.2 x longer side",
            positive, 2, AT(focal), false),

    choice("Machine", "--precision", "fp32; on a GPU also tf32 or bf16 (faster)",
           {"fp32", "tf32", "bf16"}, AT(precision)),
};
#undef AT

/// The folders in which weights may lie, as seen from the file that holds this code, a program or
/// the shared library: somewhere below a checkout, or below where Cairn was installed.
std::vector<std::filesystem::path> weight_folders() {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> found;
  Dl_info here{};
  ::dladdr(reinterpret_cast<void*>(&weight_folders), &here);
  // A program that was found on the PATH is known to the loader by its name alone.
  const std::string file = here.dli_fname ? here.dli_fname : "";
  const fs::path self =
      file.find('/') == std::string::npos ? "" : fs::weakly_canonical(file, error);
  for (fs::path from : {self, fs::read_symlink("/proc/self/exe", error)})
    for (; from.has_relative_path(); from = from.parent_path())
      for (const char* folder : {"ucn/weights", "share/cairn/weights"})
        if (fs::is_directory(from.parent_path() / folder, error))
          found.push_back(from.parent_path() / folder);
  return found;
}

}  // namespace

std::span<const Setting> matcher_settings() { return table; }

void set(MatcherSettings& settings, const std::string& name, const std::string& value) {
  for (const Setting& s : table)
    for (std::string names = std::string(s.name) + ","; !names.empty();
         names.erase(0, names.find(',') + 1))
      if (names.substr(2, names.find(',') - 2) == name) {
        const std::string trouble = s.set(settings, value);
        require(trouble.empty(), ErrorId::usage, "match", name, " ", trouble);
        return;
      }
  throw Error(ErrorId::usage, "match", cat("there is no setting '", name, "'"));
}

void MatcherSettings::resolve(Device device, const std::string& default_mode) {
  auto& o = options;
  if (mode.empty()) mode = keypoints == "all" ? "all_all" : default_mode;
  if (keypoints.empty()) keypoints = mode == "keypoints" ? "sift" : "corners";
  o.correspond.ratio = ratio > 0 ? ratio : mode == "all" ? 0.7 : 1;
  o.correspond.mode = match_mode(mode);
  if (keypoints != "all") o.keypoints.kind = keypoint_kind(keypoints);
  o.align = !no_align && o.scales.size() == 1 && o.rotations == 1;
  o.correspond.reciprocity = !one_way;
  o.correspond.subpixel = !whole_pixels;
  o.photo.respect_exif = !no_exif;
  o.correspond.measure_exact = o.correspond.coarse > 0;  // takes a while: for those who ask
  if (o.correspond.coarse < 0) o.correspond.coarse = mode == "all" && device == Device::cpu ? 4 : 0;
  if (o.correspond.support < 0)
    o.correspond.support = mode == "all_all" ? 0 : LocalSupportOptions{}.least;
  require(o.correspond.support == 0 || mode != "all_all", ErrorId::usage, "match",
          "--support is not for mode all_all");
  require(o.correspond.coarse == 0 || o.correspond.mode != MatchMode::keypoints, ErrorId::usage,
          "match", "--coarse is for modes all and all_all");
}

Weights MatcherSettings::load(Device device) const {
  const std::string file = weights_file();
  Weights loaded = load_weights(with_fewest_outputs(read_weights(file), file), file);
  loaded.network->to(device);
  set_precision(*loaded.network, ucn::precision(precision));
  return loaded;
}

std::string MatcherSettings::weights_file() const {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!weights.empty() && fs::exists(weights, error)) return weights;
  const std::string name = weights.empty() ? default_model : weights;
  std::set<std::string> names;
  for (const fs::path& folder : weight_folders()) {
    if (fs::exists(folder / (name + ".safetensors"), error))
      return folder / (name + ".safetensors");
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().extension() == ".safetensors") names.insert(entry.path().stem());
  }
  std::string list;
  for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
  throw Error(ErrorId::io, "match",
              cat("--model: there is no file '", name, "', and of the models that come with it (",
                  list.empty() ? "none was found" : list, ") it is none"));
}

std::string MatcherSettings::describe() const {
  const auto& o = options;
  const auto& f = o.correspond;
  std::string text = cat("mode ", mode);
  if (f.mode != MatchMode::all_all)
    text += cat(", ", keypoints, ", at most ", o.keypoints.max_keypoints);
  if (o.photo.max_size > 0) text += cat(", photos of at most ", o.photo.max_size, " px");
  if (f.mode == MatchMode::all && f.reciprocity) text += cat(", back within ", f.radius, " px");
  if (f.min_similarity > -1) text += cat(", similarity ", f.min_similarity);
  if (f.ratio < 1) text += cat(", ratio ", f.ratio);
  if (f.min_probability > 0) text += cat(", probability ", f.min_probability);
  if (f.support > 0) text += cat(", support ", f.support);
  if (f.stability) text += ", stability";
  if (f.coarse > 0) text += cat(", coarse to fine from ", f.coarse, " px");
  if (!f.reciprocity) text += ", one way";
  if (!f.subpixel) text += ", whole pixels";
  if (f.mode == MatchMode::all && !o.align) text += ", not aligned";
  if (o.scales.size() > 1) text += cat(", ", o.scales.size(), " scales");
  if (o.rotations > 1) text += cat(", ", o.rotations, " rotations");
  return text;
}

}  // namespace cairn::ucn

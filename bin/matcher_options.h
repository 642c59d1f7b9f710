// The flags about weights, keypoints and matching that match and eval share.
#pragma once

#include <filesystem>

#include "bin/program.h"
#include "ucn/photo_matcher.h"
#include "ucn/precision.h"
#include "ucn/weights.h"

namespace cairn {

struct MatcherFlags {
  std::string weights, mode, keypoints, precision = "fp32";
  double ratio = 0;  // 0: as the mode wants it
  bool one_way = false, whole_pixels = false, no_exif = false, no_align = false;
  ucn::PhotoMatcherOptions options;
  Machine machine;

  void add_options(CLI::App& app) {
    using CLI::IsMember;
    auto& o = options;
    app.option_defaults()->group("Photos");
    app.add_flag("--no-exif", no_exif, "leave the photos as they are stored");
    app.add_option("--max-size", o.photo.max_size, "longer photos are reduced to it; 0: never")
        ->check(not_negative());
    app.add_option("--scale", o.photo.scale, "resize the photos")
        ->check(number("above 0 and at most 8", [](double v) { return v > 0 && v <= 8; }));
    app.add_option("--scales", o.scales, "also seen at these, say 1,0.5; the best pair counts")
        ->delimiter(',')
        ->check(number("above 0 and at most 8", [](double v) { return v > 0 && v <= 8; }));
    app.add_option("--rotations", o.rotations, "of B that are tried: 1, 2 (by 180 degrees) or 4")
        ->check(IsMember({1, 2, 4}));
    app.add_flag("--no-align", no_align,
                 "mode all: look once, with neither photo resampled to the other");
    app.add_option("--tile", o.tile, "mode keypoints sees large photos in such tiles; 0: whole")
        ->check(number("0 or at least 64", [](double v) { return v == 0 || v >= 64; }));

    app.option_defaults()->group("Search");
    app.add_option("--model,--weights", weights, "weights that come with it, or a file [ucn-f]")
        ->type_name("NAME|FILE")
        ->default_str("");
    app.add_option("--mode", mode,
                   "keypoints, all or all_all (with all pixels) [all; folders: keypoints]")
        ->check(IsMember({"keypoints", "all", "all_all"}));
    app.add_option("--keypoints", keypoints,
                   "sift, corners, score, grid or all [corners; mode keypoints: sift]")
        ->check(IsMember({"sift", "corners", "score", "grid", "all"}));
    app.add_option("--max-keypoints", o.keypoints.max_keypoints, "at most so many in each photo")
        ->check(positive());
    app.add_option("--coarse", o.correspond.coarse,
                   "pixels coarse to fine, from every N-th; 0: exactly [mode all, CPU: 4]")
        ->default_str("")
        ->check(number("0 or at least 2", [](double v) { return v == 0 || v >= 2; }));
    app.add_flag("--whole-pixels", whole_pixels, "no sub-pixel refinement");

    app.option_defaults()->group("Filters");
    auto& f = o.correspond;
    app.add_flag("--one-way", one_way, "no search back");
    app.add_option("--radius", f.radius, "px: how near the search back must return (mode all)")
        ->check(positive());
    app.add_flag("--stability", f.stability, "search back from a pixel moved by +-1");
    app.add_option("--seed", f.seed, "of the stability test and of --verify")
        ->check(not_negative());
    app.add_option("--min-similarity", f.min_similarity, "least cosine of the features; -1: off")
        ->check(number("in -1..1", [](double v) { return v >= -1 && v <= 1; }));
    app.add_option("--ratio", ratio,
                   "distance / a rival's, in both photos, below it; 1: off [mode all: 0.7]")
        ->check(positive())
        ->default_str("");
    app.add_option("--min-probability", f.min_probability, "dual softmax among rivals; 0: off")
        ->check(number("in 0..1", [](double v) { return v >= 0 && v <= 1; }));
    app.add_option("--temperature", f.temperature, "of the dual softmax")->check(positive());

    machine.add_options(app, "Machine");
    app.add_option("--precision", precision, "fp32; on a GPU also tf32 or bf16 (faster)")
        ->check(IsMember({"fp32", "tf32", "bf16"}))
        ->group("Machine");
  }

  /// Names into values; call after parsing. The defaults that depend on the mode were chosen on
  /// held-out warps (docs/measurements.md).
  void resolve(Device device, const std::string& default_mode = "all") {
    auto& o = options;
    if (mode.empty()) mode = keypoints == "all" ? "all_all" : default_mode;
    if (keypoints.empty()) keypoints = mode == "keypoints" ? "sift" : "corners";
    o.correspond.ratio = ratio > 0 ? ratio : mode == "all" ? 0.7 : 1;
    o.correspond.mode = ucn::match_mode(mode);
    if (keypoints != "all") o.keypoints.kind = ucn::keypoint_kind(keypoints);
    o.align = !no_align && o.scales.size() == 1 && o.rotations == 1;
    o.correspond.reciprocity = !one_way;
    o.correspond.subpixel = !whole_pixels;
    o.photo.respect_exif = !no_exif;
    o.correspond.measure_exact = o.correspond.coarse > 0;  // takes a while: for those who ask
    if (o.correspond.coarse < 0)
      o.correspond.coarse = mode == "all" && device == Device::cpu ? 4 : 0;
    require(o.correspond.coarse == 0 || o.correspond.mode != ucn::MatchMode::keypoints,
            ErrorId::usage, "match", "--coarse is for modes all and all_all");
  }
  /// What the mode and the device decide is left open.
  MatcherFlags() { options.correspond.coarse = -1; }
  /// The network, on its device.
  ucn::Weights load(Device device) const {
    ucn::Weights loaded = ucn::load_weights(weights_file());
    loaded.network->to(device);
    ucn::set_precision(*loaded.network, ucn::precision(precision));
    return loaded;
  }
  /// The file that --model means. Names are those of the weights in the checkout that this program
  /// was built in: bin/ or build/asan/bin are somewhere in it.
  std::string weights_file() const {
    namespace fs = std::filesystem;
    std::error_code error;
    if (!weights.empty() && fs::exists(weights, error)) return weights;
    fs::path root = fs::read_symlink("/proc/self/exe", error).parent_path();
    while (root.has_relative_path() && !fs::exists(root / "ucn/weights", error))
      root = root.parent_path();
    const fs::path folder = root / "ucn/weights";
    const std::string name = weights.empty() ? "ucn-f" : weights;
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().extension() == ".safetensors") names.push_back(entry.path().stem());
    std::ranges::sort(names);
    if (std::ranges::find(names, name) != names.end()) return folder / (name + ".safetensors");
    std::string list;
    for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
    throw Error(ErrorId::io, "match",
                cat("--model: there is no file '", name, "', and of the models that come with it (",
                    list.empty() ? "none is in " + folder.string() : list, ") it is none"));
  }
  /// In words, for reports.
  std::string describe() const {
    const auto& o = options;
    const auto& f = o.correspond;
    std::string text = cat("mode ", mode);
    if (f.mode != ucn::MatchMode::all_all)
      text += cat(", ", keypoints, ", at most ", o.keypoints.max_keypoints);
    if (o.photo.max_size > 0) text += cat(", photos of at most ", o.photo.max_size, " px");
    if (f.mode == ucn::MatchMode::all && f.reciprocity)
      text += cat(", back within ", f.radius, " px");
    if (f.min_similarity > -1) text += cat(", similarity ", f.min_similarity);
    if (f.ratio < 1) text += cat(", ratio ", f.ratio);
    if (f.min_probability > 0) text += cat(", probability ", f.min_probability);
    if (f.stability) text += ", stability";
    if (f.coarse > 0) text += cat(", coarse to fine from ", f.coarse, " px");
    if (!f.reciprocity) text += ", one way";
    if (!f.subpixel) text += ", whole pixels";
    if (f.mode == ucn::MatchMode::all && !o.align) text += ", not aligned";
    if (o.scales.size() > 1) text += cat(", ", o.scales.size(), " scales");
    if (o.rotations > 1) text += cat(", ", o.rotations, " rotations");
    return text;
  }
};

}  // namespace cairn

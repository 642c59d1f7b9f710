// Cairn's C++ library: the C library (cairn.h) with objects that clean up and errors that are thrown.
// Header only, C++17: a program built with it works with any later libcairn of the same version.
//
//   cairn::ucn::Matcher matcher({{"mode", "keypoints"}});
//   for (const auto& m : matcher.match("a.jpg", "b.jpg"))
//     std::cout << m.x0 << ' ' << m.y0 << ' ' << m.x1 << ' ' << m.y1 << '\n';
#ifndef CAIRN_HPP
#define CAIRN_HPP

#include <array>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cairn.h"

namespace cairn::ucn {

/// What a call of the library failed with; what() is one line.
class Failure : public std::runtime_error {
 public:
  explicit Failure(cairn_status status) : runtime_error(cairn_error_message()), status(status) {}
  cairn_status status;
};
inline void check(cairn_status status) {
  if (status != CAIRN_OK) throw Failure(status);
}

/// A network and how it matches. Calls from several threads wait for each other; for work side by
/// side each thread has its own.
class Matcher {
 public:
  /// By the names of bin/match's flags without dashes: {{"max-keypoints", "4000"}}; "device".
  struct Setting {
    std::string name, value;
  };
  using Settings = std::vector<Setting>;

  struct Correspondence {
    double x0, y0, x1, y1;  ///< px of the files as stored, or of the images
    double score;           ///< cosine of the two features
    double confidence;      ///< chance that it is right; -1: not judged (mode all_all, no ratio)
    bool inlier;            ///< obeys the geometry of most; true where nothing was verified
  };

  /// The most distinct first.
  class Result {
   public:
    explicit Result(cairn_matches* handle) : handle_(handle) {
      const double *p = cairn_matches_points(handle), *scores = cairn_matches_scores(handle),
                   *confidences = cairn_matches_confidences(handle);
      const uint8_t* inliers = cairn_matches_inliers(handle);
      matches_.reserve(cairn_matches_count(handle));
      for (size_t k = 0; k < cairn_matches_count(handle); ++k, p += 4)
        matches_.push_back({p[0], p[1], p[2], p[3], scores[k], confidences ? confidences[k] : -1,
                            !inliers || inliers[k] != 0});
    }
    size_t size() const { return matches_.size(); }
    const Correspondence& operator[](size_t k) const { return matches_[k]; }
    auto begin() const { return matches_.begin(); }
    auto end() const { return matches_.end(); }
    /// The homography, fundamental or essential matrix, row-major; zeros when none was found.
    std::array<double, 9> geometry() const {
      std::array<double, 9> matrix{};
      cairn_matches_geometry(handle_.get(), matrix.data());
      return matrix;
    }
    size_t inliers() const { return cairn_matches_geometry(handle_.get(), nullptr); }
    /// The probability that both photos show the same scene; -1 where nothing was verified.
    double same_scene() const { return cairn_matches_same_scene(handle_.get()); }
    /// As .csv, .json, .npz or .yml.
    void write(const std::string& path) const {
      check(cairn_matches_write(handle_.get(), path.c_str()));
    }

   private:
    struct Destroy {
      void operator()(cairn_matches* m) const { cairn_matches_destroy(m); }
    };
    std::unique_ptr<cairn_matches, Destroy> handle_;
    std::vector<Correspondence> matches_;
  };

  Matcher() : Matcher(Settings()) {}
  explicit Matcher(std::initializer_list<Setting> settings) : Matcher(Settings(settings)) {}
  explicit Matcher(const Settings& settings) {
    std::vector<std::string> texts;
    for (const auto& [name, value] : settings) texts.push_back(name + "=" + value);
    std::vector<const char*> pointers;
    for (const std::string& text : texts) pointers.push_back(text.c_str());
    cairn_matcher* handle = nullptr;
    check(cairn_matcher_create(pointers.data(), pointers.size(), &handle));
    handle_.reset(handle);
  }

  Result match(const std::string& photo0, const std::string& photo1) const {
    cairn_matches* found = nullptr;
    check(cairn_match_files(handle_.get(), photo0.c_str(), photo1.c_str(), &found));
    return Result(found);
  }
  Result match(const cairn_image& image0, const cairn_image& image1) const {
    cairn_matches* found = nullptr;
    check(cairn_match_images(handle_.get(), &image0, &image1, &found));
    return Result(found);
  }

  /// A unit vector of channels() values for each pixel: height x width x channels.
  std::vector<float> features(const cairn_image& image) const {
    const bool sensible = image.width > 0 && image.height > 0 &&
                          int64_t{image.width} * image.height <= int64_t{1} << 28;
    std::vector<float> values(
        sensible ? size_t(image.width) * size_t(image.height) * size_t(channels()) : 1);
    check(cairn_dense_features(handle_.get(), &image, values.data()));
    return values;
  }
  int channels() const { return cairn_feature_channels(handle_.get()); }

 private:
  struct Destroy {
    void operator()(cairn_matcher* m) const { cairn_matcher_destroy(m); }
  };
  std::unique_ptr<cairn_matcher, Destroy> handle_;
};

/// Trains on the photos of a folder, see cairn_train(); `go_on` is asked after each step. The
/// weights are then run + "/weights.safetensors". It must not throw.
inline void train(const std::string& images, const std::string& run,
                  const std::string& settings = "{}",
                  const std::function<bool(const cairn_training_step&)>& go_on = {}) {
  check(cairn_train(
      images.c_str(), run.c_str(), settings.c_str(),
      [](const cairn_training_step* step, void* user) {
        const auto& ask = *static_cast<const std::function<bool(const cairn_training_step&)>*>(user);
        return ask && !ask(*step) ? 1 : 0;
      },
      const_cast<void*>(static_cast<const void*>(&go_on))));
}

}  // namespace cairn::ucn

#endif

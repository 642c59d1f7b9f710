// SIFT: the keypoints and descriptors that OpenCV finds, but for what rounding decides.
#include "data/sift/sift.h"

#include <numeric>

#include "data/image.h"
#include "tests/golden/golden.h"

namespace cairn::golden {
namespace {

/// Of two angles in degrees.
double apart(double a, double b) {
  const double d = std::fabs(std::fmod(std::fabs(a - b), 360.0));
  return std::min(d, 360 - d);
}

/// Shares of the golden keypoints that are found, and of those with a descriptor alike.
void check_case(const TensorFile& file, const std::string& key, Report& report) {
  const size_t dot = key.find('.');
  const std::string photo = key.substr(0, dot), name = "params." + key.substr(dot + 1);
  const auto params = settings(text(file, name));
  SiftOptions options{.opencv_positions = true};
  options.max_keypoints = int64_t(number(params, "nfeatures", 0));
  options.octave_layers = int(number(params, "nOctaveLayers", options.octave_layers));
  options.contrast = number(params, "contrastThreshold", options.contrast);
  options.edge = number(params, "edgeThreshold", options.edge);
  options.sigma = number(params, "sigma", options.sigma);
  const Image image = read_image(report.beside(photo + ".png"), {.channels = 1});
  const SiftFeatures ours = sift(image.pixels, options);

  const auto theirs = find(file, key + ".keypoints").to_vector();
  const auto descriptors = find(file, key + ".descriptors").to_vector();
  const auto count = int64_t(theirs.size()) / 5;
  int64_t found = 0, alike = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double* k = theirs.data() + 5 * i;
    // The one there whose direction is nearest: a place may have several.
    int64_t best = -1;
    for (int64_t j = 0; j < int64_t(ours.keypoints.size()); ++j) {
      const SiftKeypoint& o = ours.keypoints[size_t(j)];
      if (std::hypot(o.x - k[0], o.y - k[1]) > 0.5 || std::fabs(o.size - k[2]) > 0.1 * k[2])
        continue;
      if (best < 0 || apart(o.angle, k[3]) < apart(ours.keypoints[size_t(best)].angle, k[3]))
        best = j;
    }
    if (best < 0) continue;
    ++found;
    const float* a = ours.descriptors.data<float>() + 128 * best;
    const double* b = descriptors.data() + 128 * i;
    const double ab = std::inner_product(a, a + 128, b, 0.0);
    const double aa = std::inner_product(a, a + 128, a, 0.0);
    const double bb = std::inner_product(b, b + 128, b, 0.0);
    alike += ab >= 0.98 * std::sqrt(aa * bb);
  }
  report.compare("keypoints not found", 1 - double(found) / double(count), 0.05);
  report.compare("descriptors unlike", 1 - double(alike) / double(found), 0.05);
  // As many, so that what is found are not a few among many.
  report.compare("number of keypoints",
                 std::fabs(double(ours.keypoints.size()) / double(count) - 1), 0.05);
}

}  // namespace

TEST_CASE("SIFT finds and describes what OpenCV does") {
  check_files(".descriptors", [](const TensorFile& file, Report& report) {
    for (const auto& key : before(file, ".descriptors")) {
      report.begin(key);
      check_case(file, key, report);
    }
  });
}

}  // namespace cairn::golden

// The matcher: equal matches and equal verdicts, but where two candidates are equally near.
#include "ucn/matcher.h"

#include "tests/golden/golden.h"

namespace cairn::golden {
namespace {

constexpr double tie = 1e-6;  // squared distances of unit features closer than this are one

/// Features by pixel, to look up what a tie is.
struct Map {
  Tensor features;  // H x W x C f64
  double distance2(int64_t x, int64_t y, const Map& o, int64_t ox, int64_t oy) const {
    const int64_t c = features.dim(2);
    const double* a = features.data<double>() + (y * features.dim(1) + x) * c;
    const double* b = o.features.data<double>() + (oy * o.features.dim(1) + ox) * c;
    double d = 0;
    for (int64_t i = 0; i < c; ++i) d += (a[i] - b[i]) * (a[i] - b[i]);
    return d;
  }
};

/// Whether the way back from (x, y) of image 1 ends both near (sx, sy) and far from it, depending
/// on which of the nearest candidates is taken.
bool way_back_tied(const Map& m0, const Map& m1, int64_t x, int64_t y, int64_t sx, int64_t sy,
                   const Tensor* keypoints, double radius) {
  const int64_t w = m0.features.dim(1);
  const int64_t n = keypoints ? keypoints->dim(0) : m0.features.dim(0) * w;
  const auto place = [&](int64_t k) {
    return keypoints
               ? std::pair(keypoints->data<int64_t>()[2 * k], keypoints->data<int64_t>()[2 * k + 1])
               : std::pair(k % w, k / w);
  };
  double best = INFINITY;
  for (int64_t k = 0; k < n; ++k)
    best = std::min(best, m1.distance2(x, y, m0, place(k).first, place(k).second));
  bool near = false, far = false;
  for (int64_t k = 0; k < n; ++k) {
    const auto [u, v] = place(k);
    if (!(m1.distance2(x, y, m0, u, v) <= best + tie)) continue;
    (double((u - sx) * (u - sx) + (v - sy) * (v - sy)) < radius * radius ? near : far) = true;
  }
  return near && far;
}

void check_case(const TensorFile& file, const std::string& key, DType type, Report& report) {
  const auto parts = split(key, '.');  // <case>.<mode>.<test>
  require(parts.size() == 3 && (parts[2] == "reciprocity" || parts[2] == "stability"),
          ErrorId::format, "golden", "no case of the matcher: ", key);
  const bool stability = parts[2] == "stability";
  const auto features = [&](const char* name) {
    return kernels::permute(find(file, parts[0] + name).to(type), {1, 2, 0});
  };
  const Tensor f0 = features(".F0"), f1 = features(".F1");
  const Map m0{f0.to(DType::f64)}, m1{f1.to(DType::f64)};
  const Tensor &kp0 = find(file, parts[0] + ".kp0"), &kp1 = find(file, parts[0] + ".kp1");
  const Tensor noise = stability ? find(file, key + ".noise") : Tensor();
  const ucn::MatcherOptions o{.mode = ucn::match_mode(parts[1]),
                              .stability = stability,
                              .radius = number(file.metadata, "reciprocity_px", 4)};
  Random random(0);
  const auto ours =
      ucn::match(f0.to(device()), f1.to(device()), kp0, kp1, o, random, noise).matches;

  const Tensor &matches = find(file, key + ".matches"), &kept = find(file, key + ".kept");
  if (int64_t(ours.size()) != matches.dim(0))
    return report.fail(cat(ours.size(), " matches instead of ", matches.dim(0)));
  int different = 0;
  for (size_t k = 0; k < ours.size(); ++k) {
    const int64_t* g = matches.data<int64_t>() + 4 * k;
    const int64_t x0 = int64_t(ours[k].x0), y0 = int64_t(ours[k].y0), x1 = int64_t(ours[k].x1),
                  y1 = int64_t(ours[k].y1);
    if (x0 != g[0] || y0 != g[1]) {
      ++different;
    } else if (x1 != g[2] || y1 != g[3]) {
      different += !(std::fabs(m0.distance2(x0, y0, m1, x1, y1) -
                               m0.distance2(x0, y0, m1, g[2], g[3])) <= tie);
    } else if (ours[k].kept != (kept.data<uint8_t>()[k] != 0)) {
      const int64_t* move = stability ? noise.data<int64_t>() + 2 * k : nullptr;
      const int64_t x = std::clamp<int64_t>(x1 + (move ? move[0] : 0), 0, f1.dim(1) - 1);
      const int64_t y = std::clamp<int64_t>(y1 + (move ? move[1] : 0), 0, f1.dim(0) - 1);
      different += !way_back_tied(m0, m1, x, y, x0, y0,
                                  o.mode == ucn::MatchMode::keypoints ? &kp0 : nullptr, o.radius);
    }
  }
  report.compare(cat("matches that differ in ", type), different, 0);
}

TEST_CASE("matches and verdicts are the reference's") {
  check_files(".matches", [](const TensorFile& file, Report& report) {
    for (const auto& key : before(file, ".matches")) {
      report.begin(key);
      for (DType type : {DType::f32, DType::f64}) check_case(file, key, type, report);
    }
  });
}

}  // namespace
}  // namespace cairn::golden

#include "ucn/correspond.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/parallel.h"
#include "ucn/above.h"
#include "ucn/keypoints.h"
#include "ucn/local_support.h"

namespace cairn::ucn {
namespace {

Tensor points_tensor(const std::vector<Point>& points) {
  return Tensor::from(
      {int64_t(points.size()), 2},
      std::vector<double>(points.empty() ? nullptr : points[0].data(),
                          points.empty() ? nullptr : points[0].data() + 2 * points.size()));
}

Tensor features_at(const Tensor& dense, const std::vector<Point>& points) {
  const Tensor at = points_tensor(points).to(dense.dtype()).to(dense.device());
  return kernels::l2_normalize(kernels::bilinear_sample(dense, at), 1e-8);
}

std::vector<Point> ends(const std::vector<Correspondence>& matches, bool second) {
  std::vector<Point> points;
  for (const Correspondence& m : matches)
    points.push_back(second ? Point{m.x1, m.y1} : Point{m.x0, m.y0});
  return points;
}

/// The features of one end of each match.
Tensor rows_of(const PhotoFeatures& photo, const std::vector<Correspondence>& matches,
               bool second) {
  if (photo.dense.defined()) return features_at(photo.dense, ends(matches, second));
  Tensor rows = Tensor::empty({int64_t(matches.size())}, DType::i64);
  for (size_t k = 0; k < matches.size(); ++k)
    rows.data<int64_t>()[k] = second ? matches[k].keypoint1 : matches[k].keypoint0;
  return kernels::gather_rows(photo.descriptors, rows.to(photo.descriptors.device()));
}

/// Where near each place the similarity to its row of `targets` peaks: the maximum of the quadratic
/// fitted to 3 x 3 samples a pixel apart, at most a pixel away.
std::vector<Point> peaks(const Tensor& dense, const std::vector<Point>& places,
                         const Tensor& targets) {
  const int64_t h = dense.dim(0), w = dense.dim(1), c = dense.dim(2);
  const Tensor rows = targets.to(Device::cpu);
  std::vector<Point> result(places.size());
  constexpr size_t slab = 4096;  // bounds the memory of the samples
  for (size_t begin = 0; begin < places.size(); begin += slab) {
    const size_t count = std::min(slab, places.size() - begin);
    std::vector<Point> around;
    for (size_t k = begin; k < begin + count; ++k)
      for (int i = -1; i <= 1; ++i)
        for (int j = -1; j <= 1; ++j) around.push_back({places[k][0] + j, places[k][1] + i});
    const Tensor samples = features_at(dense, around).to(Device::cpu);
    parallel_for(int64_t(count), 64, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) {
        const Point p = places[begin + size_t(k)];
        const float* target = rows.data<float>() + (int64_t(begin) + k) * c;
        double s[9];
        for (int64_t i = 0; i < 9; ++i) {
          const float* sample = samples.data<float>() + (9 * k + i) * c;
          float sum = 0;
          for (int64_t v = 0; v < c; ++v) sum += sample[v] * target[v];
          s[i] = sum;
        }
        const double gx = (s[2] + s[5] + s[8] - s[0] - s[3] - s[6]) / 6;
        const double gy = (s[6] + s[7] + s[8] - s[0] - s[1] - s[2]) / 6;
        const double xx = (s[0] + s[2] + s[3] + s[5] + s[6] + s[8] - 2 * (s[1] + s[4] + s[7])) / 3;
        const double yy = (s[0] + s[1] + s[2] + s[6] + s[7] + s[8] - 2 * (s[3] + s[4] + s[5])) / 3;
        const double xy = (s[0] + s[8] - s[2] - s[6]) / 4, det = xx * yy - xy * xy;
        double dx = 0, dy = 0;
        if (xx < 0 && det > 0) {  // a maximum
          dx = std::clamp((xy * gy - yy * gx) / det, -1.0, 1.0);
          dy = std::clamp((xy * gx - xx * gy) / det, -1.0, 1.0);
        }
        result[begin + size_t(k)] = {std::clamp(p[0] + dx, 0.0, double(w - 1)),
                                     std::clamp(p[1] + dy, 0.0, double(h - 1))};
      }
    });
  }
  return result;
}

/// How a match stands among rivals in one photo: the similarity of the nearest, and the share of
/// its own exponential in the sum with theirs (1 unless a probability is asked for).
struct Standing {
  double nearest = -1, share = 1;
};
/// Of each match among the rivals of its end in `photo`; `queries` are the features of its other
/// end.
std::vector<Standing> standings(const PhotoFeatures& photo, const Tensor& queries,
                                const std::vector<Correspondence>& matches, bool second,
                                const CorrespondOptions& o) {
  constexpr int64_t step = 8;  // of the grid of pixels
  const bool keypoints = o.mode == MatchMode::keypoints, shares = o.min_probability > 0;
  std::vector<Point> places;
  if (!keypoints)
    for (int64_t y = step / 2; y < photo.dense.dim(0); y += step)
      for (int64_t x = step / 2; x < photo.dense.dim(1); x += step)
        places.push_back({double(x), double(y)});
  const Tensor rows = keypoints ? photo.descriptors : features_at(photo.dense, places);
  const int64_t n = int64_t(matches.size()), m = rows.dim(0);
  const auto at = ends(matches, second);
  std::vector<Standing> result(matches.size());
  if (m == 0) return result;
  constexpr int64_t slab = 512;  // bounds the memory of the products
  for (int64_t begin = 0; begin < n; begin += slab) {
    const int64_t count = std::min(slab, n - begin);
    Tensor some = Tensor::empty({count}, DType::i64);
    for (int64_t k = 0; k < count; ++k) some.data<int64_t>()[k] = begin + k;
    const Tensor products =
        kernels::matmul(kernels::gather_rows(queries, some.to(queries.device())), rows, false, true)
            .to(Device::cpu);
    parallel_for(count, 8, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) {
        const auto i = size_t(begin + k);
        const Correspondence& match = matches[i];
        const int64_t own = second ? match.keypoint1 : match.keypoint0;
        const float* row = products.data<float>() + k * m;
        const double least = match.score - 20 * o.temperature;
        float matters = float(shares ? std::min(least, -1.0) : -1.0);
        double sum = 0;
        for_each_above(row, m, matters, [&](int64_t r) {
          if (r == own) return;
          if (!keypoints) {
            const Point& p = places[size_t(r)];
            const double dx = p[0] - at[i][0], dy = p[1] - at[i][1];
            if (dx * dx + dy * dy < o.rival_radius * o.rival_radius) return;
          }
          result[i].nearest = std::max(result[i].nearest, double(row[r]));
          if (shares) sum += std::exp((double(row[r]) - match.score) / o.temperature);
          matters = float(shares ? std::min(least, result[i].nearest) : result[i].nearest);
        });
        result[i].share = 1 / (1 + sum);
      }
    });
  }
  return result;
}

double distance(double cosine) { return std::sqrt(std::max(0.0, 2 - 2 * cosine)); }

/// The matches of photo 0's keypoints or pixels in photo 1, with what later stages need.
struct Found {
  std::vector<Correspondence> matches, not_kept;
  int64_t searched = 0;
  double exact = 1;
};
Found search(const PhotoFeatures& photo0, const PhotoFeatures& photo1, const CorrespondOptions& o) {
  const bool strict = o.mode != MatchMode::all && !o.stability;
  const MatcherOptions options{.mode = o.mode,
                               .reciprocity = o.reciprocity,
                               .stability = o.stability,
                               .radius = strict ? 1e-6 : o.radius,
                               .coarse = o.coarse,
                               .measure_exact = o.measure_exact};
  Random random(o.seed);
  const MatchResult result = match(photo0, photo1, options, random);
  Found found{{}, {}, int64_t(result.matches.size()), result.exact};
  for (const Match& m : result.matches) {
    if (!m.kept && !o.keep_removed) continue;
    const bool ids = o.mode == MatchMode::keypoints;
    (m.kept ? found.matches : found.not_kept)
        .push_back({m.x0, m.y0, m.x1, m.y1, m.score, 1, ids ? m.row0 : -1, ids ? m.row1 : -1});
  }
  return found;
}

/// `moves`: of photo 0's ends, of photo 1's; the share of the way to the peak that they go.
void refine(const PhotoFeatures& photo0, const PhotoFeatures& photo1, double move0, double move1,
            std::vector<Correspondence>& matches) {
  const Tensor rows0 = rows_of(photo0, matches, false), rows1 = rows_of(photo1, matches, true);
  const auto peaks0 =
      move0 > 0 ? peaks(photo0.dense, ends(matches, false), rows1) : ends(matches, false);
  const auto peaks1 =
      move1 > 0 ? peaks(photo1.dense, ends(matches, true), rows0) : ends(matches, true);
  for (size_t k = 0; k < matches.size(); ++k) {
    Correspondence& m = matches[k];
    m.x0 += move0 * (peaks0[k][0] - m.x0);
    m.y0 += move0 * (peaks0[k][1] - m.y0);
    m.x1 += move1 * (peaks1[k][0] - m.x1);
    m.y1 += move1 * (peaks1[k][1] - m.y1);
  }
}

Correspondence swapped(const Correspondence& m) {
  return {m.x1,          m.y1,        m.x0,        m.y0,    m.score,
          m.probability, m.keypoint1, m.keypoint0, m.ratio, m.confidence};
}

}  // namespace

void sort_best_first(std::vector<Correspondence>& matches) {
  const auto key = [](const Correspondence& m) {
    const Point a{m.x0, m.y0}, b{m.x1, m.y1};
    return std::tuple(m.ratio, -m.score, std::min(a, b), std::max(a, b));
  };
  std::ranges::sort(matches, {}, key);
}

void keep_one_per_place(std::vector<Correspondence>& matches, double radius0, double radius1) {
  std::vector<Correspondence> kept;
  for (const int64_t k : apart(points_tensor(ends(matches, false)),
                               points_tensor(ends(matches, true)), radius0, radius1))
    kept.push_back(matches[size_t(k)]);
  matches = std::move(kept);
}

double match_confidence(double ratio, double cosine) {
  constexpr double constant = 5.549, per_ratio = -7.769, per_cosine = 1.902;
  return 1 / (1 + std::exp(-(constant + per_ratio * ratio + per_cosine * cosine)));
}

Correspondences correspond(const PhotoFeatures& photo0, const PhotoFeatures& photo1,
                           const CorrespondOptions& o) {
  Correspondences result;
  const auto stage = [&](const char* name, int64_t left) { result.stages.push_back({name, left}); };
  const auto keep = [&](const char* name, auto&& test) {
    std::erase_if(result.matches, [&](const Correspondence& m) {
      const bool passes = test(m);
      if (!passes && o.keep_removed) result.removed.push_back({m, name});
      return !passes;
    });
    stage(name, int64_t(result.matches.size()));
  };

  Found found = search(photo0, photo1, o);
  result.exact = found.exact;
  result.matches = std::move(found.matches);
  int64_t searched = found.searched;
  const char* search_back = "search back";
  for (const Correspondence& m : found.not_kept) result.removed.push_back({m, search_back});
  const bool dense = photo0.dense.defined() && photo1.dense.defined();
  if (o.mode == MatchMode::all) {
    // Starts are exact, and ends are at the peak.
    if (o.subpixel) refine(photo0, photo1, 0, 1, result.matches);
    if (o.reciprocity || o.stability) {
      Found back = search(photo1, photo0, o);
      searched += back.searched;
      if (o.subpixel) refine(photo1, photo0, 0, 1, back.matches);
      for (const Correspondence& m : back.matches) result.matches.push_back(swapped(m));
      for (const Correspondence& m : back.not_kept)
        result.removed.push_back({swapped(m), search_back});
    }
  } else if (o.subpixel && dense) {
    // Either end is as exact as the other: each goes half of its way.
    refine(photo0, photo1, 0.5, 0.5, result.matches);
  }
  stage("found", searched);
  if (o.reciprocity || o.stability) stage(search_back, int64_t(result.matches.size()));
  if (o.min_similarity > -1)
    keep("similarity", [&](const Correspondence& m) { return m.score >= o.min_similarity; });
  if ((o.ratio < 1 || o.min_probability > 0 || (o.confidence && o.mode != MatchMode::all_all)) &&
      !result.matches.empty()) {
    const auto in1 =
        standings(photo1, rows_of(photo0, result.matches, false), result.matches, true, o);
    const auto in0 =
        standings(photo0, rows_of(photo1, result.matches, true), result.matches, false, o);
    for (size_t k = 0; k < in0.size(); ++k) {
      Correspondence& m = result.matches[k];
      m.probability = in0[k].share * in1[k].share;
      const double rival = distance(std::max(in0[k].nearest, in1[k].nearest));
      m.ratio = rival > 0 ? distance(m.score) / rival : 1;
      m.confidence = match_confidence(m.ratio, m.score);
    }
    if (o.ratio < 1) keep("ratio", [&](const Correspondence& m) { return m.ratio < o.ratio; });
    if (o.min_probability > 0)
      keep("probability",
           [&](const Correspondence& m) { return m.probability >= o.min_probability; });
  }
  sort_best_first(result.matches);
  if (o.mode == MatchMode::all && o.reciprocity) {
    keep_one_per_place(result.matches, 1, 1);
    stage("one per place", int64_t(result.matches.size()));
  }
  if (o.support > 0 && !result.matches.empty()) {
    require(o.mode != MatchMode::all_all, ErrorId::argument, "match",
            "support is not for mode all_all, where every pixel would look for its neighbours");
    require(photo0.extent > 0 && photo1.extent > 0, ErrorId::argument, "match",
            "support needs the photos' sizes (PhotoFeatures::extent)");
    std::vector<PointPair> pairs;
    for (const Correspondence& m : result.matches) pairs.push_back(m.pair());
    const auto supported = locally_supported(pairs, double(photo0.extent), double(photo1.extent),
                                             {.least = o.support});
    keep("support", [&, k = size_t(0)](const Correspondence&) mutable { return supported[k++]; });
  }
  return result;
}

}  // namespace cairn::ucn

#include "ucn/matcher.h"

#include <algorithm>
#include <cmath>

#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/pixels/pixels.h"
#include "tensor/kernels/rows/rows.h"
#include "ucn/coarse_search.h"

namespace cairn::ucn {

MatchMode match_mode(const std::string& name) {
  if (name == "keypoints") return MatchMode::keypoints;
  if (name == "all") return MatchMode::all;
  if (name == "all_all") return MatchMode::all_all;
  throw Error(ErrorId::argument, "match",
              cat("no mode '", name, "'; there is keypoints, all, all_all"));
}

namespace {

/// The pixels of one image that may be matched: row-major pixel numbers and their features, all
/// where the features are.
struct Side {
  Side(const Tensor& features, const Tensor& keypoints, bool every_pixel) {
    require(features.rank() == 3, ErrorId::shape, "match", "features are ", features.shape(),
            ", not H x W x C");
    height = features.dim(0);
    width = features.dim(1);
    all = features.reshape({height * width, features.dim(2)});
    if (every_pixel) {
      rows = all;
      return;
    }
    require(keypoints.defined() && keypoints.rank() == 2 && keypoints.dim(1) == 2, ErrorId::shape,
            "match", "keypoints must be K x 2");
    pixels = Tensor::empty({keypoints.dim(0)}, DType::i64);
    for (int64_t k = 0; k < keypoints.dim(0); ++k) {
      const int64_t *p = keypoints.data<int64_t>() + 2 * k, x = p[0], y = p[1];
      require(x >= 0 && x < width && y >= 0 && y < height, ErrorId::index, "match", "keypoint (", x,
              ", ", y, ") lies outside the image of ", width, "x", height);
      pixels.data<int64_t>()[k] = y * width + x;
    }
    pixels = pixels.to(features.device());
    rows = kernels::gather_rows(all, pixels);
  }
  int64_t count() const { return rows.dim(0); }
  /// The pixels of these rows.
  Tensor pixels_of(const Tensor& index) const {
    if (!pixels.defined()) return index;
    return kernels::gather_rows(pixels.reshape({-1, 1}), index).reshape({-1});
  }

  int64_t height, width;
  Tensor all, rows, pixels;  // pixels: undefined when rows are all pixels
};

double squared(double v) { return v * v; }

/// Every pixel with every pixel, and back if that is asked for.
kernels::NearestBoth coarse_to_fine(const Tensor& features0, const Tensor& features1,
                                    const MatcherOptions& o, bool back) {
  require(o.mode == MatchMode::all_all && o.ratio >= 1, ErrorId::argument, "match",
          "coarse to fine is for mode all_all without the ratio test: it does not know the second "
          "nearest");
  require(!features0.on_gpu(), ErrorId::argument, "match",
          "coarse to fine is for the CPU; on a GPU the exact search is fast enough");
  const auto rows = [](const Tensor& f) { return f.reshape({-1, f.dim(2)}); };
  const Tensor index = nearest_coarse_to_fine(features0, features1, o.coarse);
  const Tensor ends = kernels::gather_rows(rows(features1), index);
  return {{index, kernels::row_distance2(rows(features0), ends), Tensor::zeros({index.numel()})},
          back ? nearest_coarse_to_fine(features1, features0, o.coarse) : Tensor()};
}

/// Which share of a sample of the queries has its nearest row at `index`.
double exact_share(const Tensor& queries, const Tensor& database, const Tensor& index) {
  const int64_t count = std::min<int64_t>(1000, queries.dim(0));
  Tensor sample = Tensor::empty({count}, DType::i64);
  for (int64_t k = 0; k < count; ++k) sample.data<int64_t>()[k] = k * queries.dim(0) / count;
  const Tensor exact = kernels::nearest(kernels::gather_rows(queries, sample), database).index;
  int64_t same = 0;
  for (int64_t k = 0; k < count; ++k)
    same += exact.data<int64_t>()[k] == index.data<int64_t>()[sample.data<int64_t>()[k]];
  return double(same) / double(count);
}

}  // namespace

MatchResult match(const Tensor& features0, const Tensor& features1, const Tensor& keypoints0,
                  const Tensor& keypoints1, const MatcherOptions& o, Random& random,
                  const Tensor& noise) {
  require_same_device("match", features0, features1);
  const Side from(features0, keypoints0, o.mode == MatchMode::all_all);
  const Side to(features1, keypoints1, o.mode != MatchMode::keypoints);
  MatchResult result;
  if (from.count() == 0 || to.count() == 0) return result;
  const int64_t n = from.count();
  require(!noise.defined() || noise.shape() == Shape{n, 2}, ErrorId::shape, "match",
          "the noise is ", noise.shape(), ", not ", n, "x2");

  // Nothing is looked at before all is found: on a GPU that would wait.
  // Where the way back leads from rows of `to` among those of `from`, one product finds both ways.
  const bool search_back = o.reciprocity || o.stability;
  const bool both_ways =
      search_back && o.mode != MatchMode::all && (o.mode == MatchMode::all_all || !o.stability);
  const auto both = o.coarse > 0 ? coarse_to_fine(features0, features1, o, both_ways)
                    : both_ways  ? kernels::nearest_both(from.rows, to.rows)
                                 : kernels::NearestBoth{kernels::nearest(from.rows, to.rows), {}};
  const auto& there = both.forward;
  if (o.coarse > 0) result.exact = exact_share(from.rows, to.rows, there.index);
  Tensor ends = to.pixels_of(there.index), back;
  if (search_back) {
    Tensor starts = ends;
    if (o.stability) {
      Tensor moves = noise;
      if (!moves.defined()) {
        moves = Tensor::empty({n, 2}, DType::i64);
        for (int64_t& m : moves.span<int64_t>()) m = random.chance(0.5) ? 1 : -1;
      }
      starts = kernels::moved_pixels(ends, moves.to(ends.device()), to.height, to.width);
    }
    if (both_ways) {
      const Tensor rows = o.mode == MatchMode::all_all ? starts : there.index;
      back = from.pixels_of(kernels::gather_rows(both.back.reshape({-1, 1}), rows).reshape({-1}));
    } else {
      const Side home = o.mode == MatchMode::all ? Side(features0, {}, true) : from;
      back =
          home.pixels_of(kernels::nearest(kernels::gather_rows(to.all, starts), home.rows).index);
    }
  }

  const auto read = [](const Tensor& t) { return t.defined() ? t.to(Device::cpu) : t; };
  const Tensor distance = read(there.distance).to(DType::f64);
  const Tensor second = read(there.second).to(DType::f64), starts = read(from.pixels);
  ends = read(ends);
  back = read(back);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t start = starts.defined() ? starts.data<int64_t>()[k] : k;
    const int64_t end = ends.data<int64_t>()[k], w0 = from.width, w1 = to.width;
    const double d2 = distance.data<double>()[k], s2 = second.data<double>()[k];
    bool kept = o.ratio >= 1 || std::sqrt(d2) < o.ratio * std::sqrt(s2);
    result.after_ratio += kept;
    if (back.defined()) {
      const int64_t r = back.data<int64_t>()[k];
      kept = kept && squared(double(r % w0 - start % w0)) + squared(double(r / w0 - start / w0)) <
                         squared(o.radius);
    }
    result.kept += kept;
    result.matches.push_back({double(start % w0), double(start / w0), double(end % w1),
                              double(end / w1), 1 - d2 / 2, kept});
  }
  return result;
}

HitRatios hit_ratios(const Tensor& features0, const Tensor& features1, const Tensor& positions0,
                     const Tensor& positions1, double radius) {
  require_same_shape("hit_ratios", positions0, positions1);
  const int64_t n = positions0.dim(0);
  HitRatios ratios;
  if (n == 0) return ratios;
  Tensor keypoints = Tensor::empty({n, 2}, DType::i64);
  std::ranges::transform(positions0.span<double>(), keypoints.data<int64_t>(),
                         [](double p) { return std::llround(p); });
  Random none(0);
  const auto matches =
      match(features0, features1, keypoints, {}, {.mode = MatchMode::all, .radius = radius}, none)
          .matches;
  const double* truth = positions1.data<double>();
  double both = 0;
  for (int64_t k = 0; k < n; ++k) {
    const Match& m = matches[size_t(k)];
    const bool hit =
        squared(m.x1 - truth[2 * k]) + squared(m.y1 - truth[2 * k + 1]) < squared(radius);
    ratios.hit += hit;
    ratios.reciprocity += m.kept;
    both += hit && m.kept;
  }
  ratios.reciprocity_hit = ratios.reciprocity > 0 ? both / ratios.reciprocity : 0;
  ratios.hit /= double(n);
  ratios.reciprocity /= double(n);
  return ratios;
}

}  // namespace cairn::ucn

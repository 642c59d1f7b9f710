#include "ucn/matcher.h"

#include <algorithm>
#include <cmath>

#include "data/geometry/homography.h"
#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
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

/// What may be matched of one photo: rows of features and where they are.
struct Side {
  Side(const PhotoFeatures& photo, bool every_pixel) {
    if (photo.dense.defined()) {
      require(photo.dense.rank() == 3, ErrorId::shape, "match", "features are ",
              photo.dense.shape(), ", not H x W x C");
      height = photo.dense.dim(0);
      width = photo.dense.dim(1);
      all = photo.dense.reshape({height * width, photo.dense.dim(2)});
    }
    require(!every_pixel || all.defined(), ErrorId::argument, "match",
            "this mode needs the features of all pixels, not of keypoints alone");
    rows = every_pixel ? all : photo.descriptors;
    points = every_pixel ? Tensor() : photo.keypoints;
    require(every_pixel || (rows.defined() && points.defined() && rows.dim(0) == points.dim(0)),
            ErrorId::shape, "match", "keypoints need one descriptor each");
  }
  int64_t count() const { return rows.dim(0); }
  Point at(int64_t row) const {
    if (!points.defined()) return {double(row % width), double(row / width)};
    return {points.data<double>()[2 * row], points.data<double>()[2 * row + 1]};
  }
  /// The pixels of these rows.
  Tensor pixels_of(const Tensor& index) const {
    if (!points.defined()) return index;
    Tensor pixels = Tensor::empty({count()}, DType::i64);
    for (int64_t k = 0; k < count(); ++k) {
      const auto [x, y] = at(k);
      pixels.data<int64_t>()[k] = std::clamp<int64_t>(std::llround(y), 0, height - 1) * width +
                                  std::clamp<int64_t>(std::llround(x), 0, width - 1);
    }
    return kernels::gather_rows(pixels.to(index.device()).reshape({-1, 1}), index).reshape({-1});
  }

  int64_t height = 0, width = 0;
  Tensor all, rows, points;  // points: undefined when rows are all pixels
};

double squared(double v) { return v * v; }

constexpr int64_t cells = 8;  // of mode all: so many places of the grid are looked at closely

/// Pixels of `to` for the rows of `from`, and in mode all_all back if that is asked for.
kernels::NearestBoth coarse_to_fine(const Side& from, const Tensor& features0,
                                    const Tensor& features1, const MatcherOptions& o, bool back) {
  require(
      o.mode != MatchMode::keypoints && o.ratio >= 1, ErrorId::argument, "match",
      "coarse to fine is for modes all and all_all without the ratio test: it does not know the "
      "second nearest");
  require(!features1.on_gpu(), ErrorId::argument, "match",
          "coarse to fine is for the CPU; on a GPU the exact search is fast enough");
  const Tensor index = o.mode == MatchMode::all
                           ? nearest_by_cells(from.rows, features1, o.coarse, cells)
                           : nearest_coarse_to_fine(features0, features1, o.coarse);
  const Tensor ends = kernels::gather_rows(features1.reshape({-1, features1.dim(2)}), index);
  return {{index, kernels::row_distance2(from.rows, ends), Tensor::zeros({index.numel()})},
          back ? nearest_coarse_to_fine(features1, features0, o.coarse) : Tensor()};
}

/// Which share of a sample of the queries has its nearest row at `index`.
double exact_share(const Tensor& queries, const Tensor& database, const Tensor& index) {
  const int64_t count = std::min<int64_t>(1000, (queries.dim(0) + 19) / 20);
  Tensor sample = Tensor::empty({count}, DType::i64);
  for (int64_t k = 0; k < count; ++k) sample.data<int64_t>()[k] = k * queries.dim(0) / count;
  const Tensor exact = kernels::nearest(kernels::gather_rows(queries, sample), database).index;
  int64_t same = 0;
  for (int64_t k = 0; k < count; ++k)
    same += exact.data<int64_t>()[k] == index.data<int64_t>()[sample.data<int64_t>()[k]];
  return double(same) / double(count);
}

}  // namespace

PhotoFeatures describe(const Tensor& dense, const Tensor& keypoints) {
  const char* op = "describe";
  require(dense.rank() == 3, ErrorId::shape, op, "features are ", dense.shape(), ", not H x W x C");
  require(keypoints.defined() && keypoints.rank() == 2 && keypoints.dim(1) == 2, ErrorId::shape, op,
          "keypoints must be K x 2");
  const int64_t n = keypoints.dim(0), h = dense.dim(0), w = dense.dim(1);
  const Tensor points = keypoints.to(DType::f64);
  for (int64_t k = 0; k < n; ++k) {
    const double x = points.data<double>()[2 * k], y = points.data<double>()[2 * k + 1];
    require(x >= -0.5 && y >= -0.5 && x <= double(w) - 0.5 && y <= double(h) - 0.5, ErrorId::index,
            op, "keypoint (", x, ", ", y, ") lies outside the image of ", w, "x", h);
  }
  PhotoFeatures photo{dense, points, {}, {}, std::max(h, w)};
  if (keypoints.dtype() == DType::i64) {
    Tensor pixels = Tensor::empty({n}, DType::i64);
    for (int64_t k = 0; k < n; ++k)
      pixels.data<int64_t>()[k] =
          keypoints.data<int64_t>()[2 * k + 1] * w + keypoints.data<int64_t>()[2 * k];
    photo.descriptors =
        kernels::gather_rows(dense.reshape({h * w, dense.dim(2)}), pixels.to(dense.device()));
  } else {
    const Tensor at = points.to(dense.dtype()).to(dense.device());
    photo.descriptors = kernels::l2_normalize(kernels::bilinear_sample(dense, at), 1e-8);
  }
  return photo;
}

MatchResult match(const PhotoFeatures& photo0, const PhotoFeatures& photo1, const MatcherOptions& o,
                  Random& random, const Tensor& noise) {
  const Side from(photo0, o.mode == MatchMode::all_all);
  const Side to(photo1, o.mode != MatchMode::keypoints);
  require_same_device("match", from.rows, to.rows);
  MatchResult result;
  if (from.count() == 0 || to.count() == 0) return result;
  const int64_t n = from.count();
  require(!noise.defined() || noise.shape() == Shape{n, 2}, ErrorId::shape, "match",
          "the noise is ", noise.shape(), ", not ", n, "x2");
  require(!o.stability || to.all.defined(), ErrorId::argument, "match",
          "the stability test needs the features of all pixels, not of keypoints alone");

  // Nothing is looked at before all is found: on a GPU that would wait.
  // Where the way back leads from rows of `to` among those of `from`, one product finds both ways.
  const bool search_back = o.reciprocity || o.stability;
  const bool both_ways =
      search_back && o.mode != MatchMode::all && (o.mode == MatchMode::all_all || !o.stability);
  const auto both = o.coarse > 0 ? coarse_to_fine(from, photo0.dense, photo1.dense, o, both_ways)
                    : both_ways  ? kernels::nearest_both(from.rows, to.rows)
                                 : kernels::NearestBoth{kernels::nearest(from.rows, to.rows), {}};
  const auto& there = both.forward;
  if (o.coarse > 0 && o.measure_exact) result.exact = exact_share(from.rows, to.rows, there.index);
  const Side home = o.mode == MatchMode::all && search_back ? Side(photo0, true) : from;
  Tensor back;  // rows of `home`
  if (search_back) {
    Tensor starts =
        o.mode == MatchMode::keypoints && !o.stability ? there.index : to.pixels_of(there.index);
    if (o.stability) {
      Tensor moves = noise;
      if (!moves.defined()) {
        moves = Tensor::empty({n, 2}, DType::i64);
        for (int64_t& m : moves.span<int64_t>()) m = random.chance(0.5) ? 1 : -1;
      }
      starts = kernels::moved_pixels(starts, moves.to(starts.device()), to.height, to.width);
    }
    if (both_ways)
      back = kernels::gather_rows(both.back.reshape({-1, 1}), starts).reshape({-1});
    else if (const Tensor ends = kernels::gather_rows(to.all, starts); o.coarse > 0)
      back = nearest_by_cells(ends, photo0.dense, o.coarse, cells);
    else
      back = kernels::nearest(ends, home.rows).index;
  }

  const auto read = [](const Tensor& t) { return t.defined() ? t.to(Device::cpu) : t; };
  const Tensor distance = read(there.distance).to(DType::f64);
  const Tensor second = read(there.second).to(DType::f64), index = read(there.index);
  back = read(back);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t end = index.data<int64_t>()[k];
    const Point p0 = from.at(k), p1 = to.at(end);
    const double d2 = distance.data<double>()[k], s2 = second.data<double>()[k];
    bool kept = o.ratio >= 1 || std::sqrt(d2) < o.ratio * std::sqrt(s2);
    result.after_ratio += kept;
    if (back.defined()) {
      const Point r = home.at(back.data<int64_t>()[k]);
      kept = kept && squared(r[0] - p0[0]) + squared(r[1] - p0[1]) < squared(o.radius);
    }
    result.kept += kept;
    result.matches.push_back({p0[0], p0[1], p1[0], p1[1], 1 - d2 / 2, kept, k, end});
  }
  return result;
}

MatchResult match(const Tensor& features0, const Tensor& features1, const Tensor& keypoints0,
                  const Tensor& keypoints1, const MatcherOptions& o, Random& random,
                  const Tensor& noise) {
  require_same_device("match", features0, features1);
  const auto photo = [](const Tensor& features, const Tensor& keypoints, bool every_pixel) {
    return every_pixel ? PhotoFeatures{features, {}, {}} : describe(features, keypoints);
  };
  return match(photo(features0, keypoints0, o.mode == MatchMode::all_all),
               photo(features1, keypoints1, o.mode != MatchMode::keypoints), o, random, noise);
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

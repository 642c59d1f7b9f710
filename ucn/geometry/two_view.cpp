#include "ucn/geometry/two_view.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/error.h"
#include "tensor/random.h"
#include "ucn/geometry/minimal-inl.h"
#include "ucn/geometry/refine-inl.h"

namespace cairn::ucn {
namespace {

using Eigen::Matrix3d;
using RowMajor3 = Eigen::Matrix<double, 3, 3, Eigen::RowMajor>;
using Elements = std::array<double, 9>;

constexpr std::array<const char*, 4> names = {"none", "homography", "fundamental", "essential"};

Elements elements(const Matrix3d& m) {
  Elements e;
  Eigen::Map<RowMajor3>(e.data()) = m;
  return e;
}
Matrix3d matrix(const Elements& e) { return Eigen::Map<const RowMajor3>(e.data()); }

/// u -> (u - centre) / scale on each side, so that numbers are about 1.
struct Normalization {
  std::array<double, 2> cx{}, cy{}, sx{1, 1}, sy{1, 1};
  double unit = 1;  // px for a distance of 1

  Normalization(Geometry kind, std::span<const PointPair> matches,
                const std::array<Intrinsics, 2>& cameras) {
    if (kind == Geometry::essential) {
      for (size_t v = 0; v < 2; ++v) {
        cx[v] = cameras[v].cx;
        cy[v] = cameras[v].cy;
        sx[v] = cameras[v].fx;
        sy[v] = cameras[v].fy;
      }
      unit = (sx[0] + sy[0] + sx[1] + sy[1]) / 4;
      return;
    }
    const double n = double(matches.size());
    for (const PointPair& p : matches) {
      cx[0] += p.x0 / n;
      cy[0] += p.y0 / n;
      cx[1] += p.x1 / n;
      cy[1] += p.y1 / n;
    }
    // One scale for both sides keeps Sampson distances as they are.
    unit = 0;
    for (const PointPair& p : matches)
      unit += (std::hypot(p.x0 - cx[0], p.y0 - cy[0]) + std::hypot(p.x1 - cx[1], p.y1 - cy[1])) /
              (2 * n);
    unit = std::max(unit, 1e-9);
    sx = sy = {unit, unit};
  }
  PointPair operator()(const PointPair& p) const {
    return {(p.x0 - cx[0]) / sx[0], (p.y0 - cy[0]) / sy[0], (p.x1 - cx[1]) / sx[1],
            (p.y1 - cy[1]) / sy[1]};
  }
  Matrix3d side(size_t v) const {
    Matrix3d t;
    t << 1 / sx[v], 0, -cx[v] / sx[v], 0, 1 / sy[v], -cy[v] / sy[v], 0, 0, 1;
    return t;
  }
  /// A model of normalised matches as one of px.
  Elements in_px(Geometry kind, const Elements& m) const {
    if (kind == Geometry::essential) return m;
    const Matrix3d left =
        kind == Geometry::homography ? Matrix3d(side(1).inverse()) : Matrix3d(side(1).transpose());
    return elements((left * matrix(m) * side(0)).normalized());
  }
};

/// Wald's sequential test of whether a model is worth its score (J. Matas and O. Chum, "Randomized
/// RANSAC with sequential probability ratio test", ICCV 2005): a bad model is expected to have the
/// share of inliers that models had which were given up, a good one the best model's.
class SequentialTest {
 public:
  static constexpr double missed = 0.01;  ///< share of good models that are given up too
  /// Takes note of the best model's share.
  void expect(double share) {
    good_ = share;
    update();
  }
  bool rejects(int64_t inliers, int64_t outliers) {
    if (double(inliers) * per_inlier_ + double(outliers) * per_outlier_ < limit_) return false;
    bad_inliers_ += double(inliers);
    bad_matches_ += double(inliers + outliers);
    update();
    return true;
  }

 private:
  void update() {
    const double bad = bad_inliers_ / bad_matches_;
    if (!(bad < 0.7 * good_)) {  // too near to be told apart
      per_inlier_ = per_outlier_ = 0;
      return;
    }
    per_inlier_ = std::log(bad / good_);
    per_outlier_ = std::log((1 - bad) / (1 - std::min(good_, 0.99)));
  }
  const double limit_ = -std::log(missed);
  double good_ = 0, bad_inliers_ = 2, bad_matches_ = 100;  // as if some had been seen
  double per_inlier_ = 0, per_outlier_ = 0;
};

/// MSAC: the sum of squared distances, each at most limit2; given up, as infinite, once above
/// `most` or when the test says so.
double msac(Geometry kind, std::span<const PointPair> matches, const Elements& m, double limit2,
            double most, SequentialTest& test) {
  constexpr size_t block = 32;
  double sum = 0;
  int64_t inliers = 0;
  for (size_t begin = 0; begin < matches.size(); begin += block) {
    const auto some = matches.subspan(begin, std::min(block, matches.size() - begin));
    const auto add = [&](auto&& distance) {
      for (const PointPair& p : some) {
        const double d = distance(m.data(), p);
        sum += d < limit2 ? d : limit2;
        inliers += d < limit2;
      }
    };
    if (kind == Geometry::homography)
      add(refine::squared_homography);
    else
      add(refine::squared_epipolar);
    const auto seen = int64_t(begin + some.size());
    if (sum > most || test.rejects(inliers, seen - inliers)) return INFINITY;
  }
  return sum;
}

/// Draws samples of different matches.
class Sampler {
 public:
  Sampler(int size, std::span<const PointPair> points, bool best_first, int64_t most,
          Random& random)
      : points_(points), random_(random), sample_(size_t(size)), drawn_(sample_.size()) {
    pool_ = best_first ? size : int64_t(points.size());
    // Samples that uniform drawing would take, of `most`, from the first `size` alone.
    expected_ = double(most);
    for (int k = 0; k < size; ++k)
      expected_ *= double(size - k) / double(int64_t(points.size()) - k);
  }
  std::span<const PointPair> operator()() {
    const auto n = int64_t(points_.size()), size = int64_t(sample_.size());
    ++count_;
    bool newest = false;  // the pool's last match must be in the sample, or it would come again
    if (pool_ < n) {
      newest = true;
      while (double(count_) > until_ && pool_ < n) {  // the growth function of PROSAC, (3)
        const double next = expected_ * double(pool_ + 1) / double(pool_ + 1 - size);
        until_ += std::ceil(next - expected_);
        expected_ = next;
        ++pool_;
      }
    }
    for (size_t k = 0; k < drawn_.size(); ++k) {
      if (newest && k == 0) {
        drawn_[0] = size_t(pool_ - 1);
        continue;
      }
      const int64_t among = newest ? pool_ - 1 : pool_;
      do drawn_[k] = size_t(random_.below(among));
      while (std::find(drawn_.begin(), drawn_.begin() + int64_t(k), drawn_[k]) !=
             drawn_.begin() + int64_t(k));
    }
    for (size_t k = 0; k < drawn_.size(); ++k) sample_[k] = points_[drawn_[k]];
    return sample_;
  }

 private:
  std::span<const PointPair> points_;
  Random& random_;
  std::vector<PointPair> sample_;
  std::vector<size_t> drawn_;
  int64_t pool_, count_ = 0;
  double expected_, until_ = 1;
};

/// Samples that would do for `confidence` if `inliers` of n matches are good.
double samples_needed(int64_t inliers, int64_t n, int size, double confidence) {
  const double good = std::pow(double(inliers) / double(n), size);
  if (good >= 1) return 0;
  return good > 0 ? std::log(1 - confidence) / std::log1p(-good) : INFINITY;
}

}  // namespace

Geometry geometry(const std::string& name) {
  const auto at = std::ranges::find(names, name);
  require(at != names.end(), ErrorId::argument, "geometry", "no geometry '", name,
          "'; there is none, homography, fundamental, essential");
  return Geometry(at - names.begin());
}
const char* name_of(Geometry kind) { return names[size_t(kind)]; }

TwoView estimate_geometry(Geometry kind, std::span<const PointPair> matches, const RansacOptions& o,
                          const std::array<Intrinsics, 2>& cameras) {
  const char* op = "estimate_geometry";
  require(o.threshold > 0 && o.confidence > 0 && o.confidence < 1 && o.max_iterations >= 0,
          ErrorId::argument, op, "the threshold is ", o.threshold, " px, the confidence ",
          o.confidence, ", and ", o.max_iterations, " iterations are allowed");
  for (const Intrinsics& c : cameras)
    require(kind != Geometry::essential || (c.fx > 0 && c.fy > 0), ErrorId::argument, op,
            "an essential matrix needs both cameras' focal lengths, not ", c.fx, " and ", c.fy);
  TwoView result;
  result.kind = kind;
  result.inlier.assign(matches.size(), 0);
  const int size = kind == Geometry::none ? 0 : minimal::sample_size(kind);
  const auto n = int64_t(matches.size());
  if (kind == Geometry::none || n <= size) return result;

  const auto [usual_least, usual_most] = kind == Geometry::homography    ? std::pair(0, 10000)
                                         : kind == Geometry::fundamental ? std::pair(200, 4000)
                                                                         : std::pair(1000, 2000);
  const int64_t most = o.max_iterations > 0 ? o.max_iterations : usual_most;
  const int64_t at_least = std::min(most, o.min_iterations < 0 ? usual_least : o.min_iterations);
  // In random order, so that a bad model is given up after few of them.
  Random random(o.seed);
  const Normalization normalize(kind, matches, cameras);
  std::vector<PointPair> points, ranked;
  for (const int64_t k : sample_without_replacement(n, n, random))
    points.push_back(normalize(matches[size_t(k)]));
  if (o.best_first)
    for (const PointPair& p : matches) ranked.push_back(normalize(p));
  Sampler draw(size, o.best_first ? ranked : points, o.best_first, most, random);
  const double threshold = o.threshold / normalize.unit, limit2 = threshold * threshold;
  SequentialTest test;
  const auto score = [&](const Elements& m, double most) {
    return msac(kind, points, m, limit2, most, test);
  };
  const auto is_inlier = [&](const Elements& m, const PointPair& p) {
    return refine::squared_distance(kind, m.data(), p) < limit2;
  };
  const auto count = [&](const Elements& m) {
    return std::ranges::count_if(points, [&](const PointPair& p) { return is_inlier(m, p); });
  };

  Elements best{};
  double least = INFINITY, needed = double(most);
  for (; double(result.iterations) < needed; ++result.iterations) {
    const auto sample = draw();
    for (const Matrix3d& model : minimal::solve(kind, sample)) {
      Elements m = elements(model);
      double cost = score(m, least);
      if (!(cost < least)) continue;
      best = m;
      least = cost;
      if (o.local_optimization) {
        // A random few hundred show the way; all have a say at the end.
        const auto some = std::span(points).first(std::min<size_t>(points.size(), 500));
        refine::levenberg_marquardt(kind, some, threshold, 4, m);
        cost = score(m, least);
        if (cost < least) {
          best = m;
          least = cost;
        }
      }
      const int64_t inliers = count(best);
      test.expect(double(inliers) / double(n));
      needed =
          std::clamp(samples_needed(inliers, n, size, o.confidence) / (1 - SequentialTest::missed),
                     double(at_least), needed);
    }
  }
  if (!std::isfinite(least)) return result;
  if (o.local_optimization) {
    refine::levenberg_marquardt(kind, points, threshold, 20, best);
  } else if (kind != Geometry::essential) {
    std::vector<PointPair> agreeing;
    std::ranges::copy_if(points, std::back_inserter(agreeing),
                         [&](const PointPair& p) { return is_inlier(best, p); });
    if (agreeing.size() >= 8) best = elements(minimal::fit(kind, agreeing));
  }
  if (count(best) <= size) return result;  // which any sample has
  for (size_t k = 0; k < matches.size(); ++k) {
    result.inlier[k] = is_inlier(best, normalize(matches[k]));
    result.inliers += result.inlier[k];
  }
  result.matrix = normalize.in_px(kind, best);
  return result;
}

double sampson_distance(const TwoView& model, const PointPair& match,
                        const std::array<Intrinsics, 2>& cameras) {
  if (model.kind != Geometry::essential)
    return std::sqrt(refine::squared_distance(model.kind, model.matrix.data(), match));
  const Normalization normalize(model.kind, {}, cameras);
  return normalize.unit *
         std::sqrt(refine::squared_epipolar(model.matrix.data(), normalize(match)));
}

RelativePose relative_pose(const TwoView& essential, std::span<const PointPair> matches,
                           const std::array<Intrinsics, 2>& cameras) {
  require(essential.kind == Geometry::essential && essential.inlier.size() == matches.size(),
          ErrorId::argument, "relative_pose", "this takes an essential matrix and its matches");
  const Normalization normalize(Geometry::essential, matches, cameras);
  const Eigen::JacobiSVD<Matrix3d> svd(matrix(essential.matrix),
                                       Eigen::ComputeFullU | Eigen::ComputeFullV);
  Matrix3d u = svd.matrixU(), v = svd.matrixV();
  if (u.determinant() < 0) u = -u;
  if (v.determinant() < 0) v = -v;
  Matrix3d turn;
  turn << 0, -1, 0, 1, 0, 0, 0, 0, 1;
  RelativePose best;
  best.in_front = -1;
  for (const Matrix3d& r :
       {Matrix3d(u * turn * v.transpose()), Matrix3d(u * turn.transpose() * v.transpose())})
    for (const double sign : {1.0, -1.0}) {
      const Eigen::Vector3d t = sign * u.col(2);
      int64_t front = 0;
      for (size_t k = 0; k < matches.size(); ++k) {
        if (!essential.inlier[k]) continue;
        const PointPair p = normalize(matches[k]);
        // a R x0 + t = b x1, in the least squares sense.
        const Eigen::Vector3d x = r * Eigen::Vector3d(p.x0, p.y0, 1), y(p.x1, p.y1, 1);
        const double xx = x.dot(x), xy = x.dot(y), yy = y.dot(y), xt = x.dot(t), yt = y.dot(t);
        const double det = xx * yy - xy * xy;
        const double a = xy * yt - yy * xt, b = xx * yt - xy * xt;  // times det, which is >= 0
        front += a > 0 && b > 0 && det > 0;
      }
      if (front <= best.in_front) continue;
      best.in_front = front;
      best.rotation = elements(r);
      best.translation = {t[0], t[1], t[2]};
    }
  return best;
}

}  // namespace cairn::ucn

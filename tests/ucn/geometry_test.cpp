// Two-view geometry: minimal solvers recover exact models, LO-RANSAC finds them among wrong
// matches.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <numbers>

#include "tensor/random.h"
#include "tests/errors.h"
#include "ucn/geometry/minimal-inl.h"
#include "ucn/geometry/two_view.h"

using namespace cairn;
using namespace cairn::ucn;
using Eigen::Matrix3d;
using Eigen::Vector3d;

namespace {

constexpr Intrinsics camera{800, 800, 320, 240};
constexpr std::array<Intrinsics, 2> cameras{camera, camera};

Matrix3d rotation(const Vector3d& w) {
  return Eigen::AngleAxisd(w.norm(), w.normalized()).toRotationMatrix();
}
Matrix3d cross(const Vector3d& t) {
  Matrix3d m;
  m << 0, -t[2], t[1], t[2], 0, -t[0], -t[1], t[0], 0;
  return m;
}
std::array<double, 2> project(const Vector3d& x) {
  return {camera.fx * x[0] / x[2] + camera.cx, camera.fy * x[1] / x[2] + camera.cy};
}

/// Two views of points in a box, or on a plane: exact matches, then noise, then wrong ones.
struct Scene {
  Matrix3d r;
  Vector3d t, normal;
  bool plane;
  explicit Scene(bool on_plane, uint64_t seed = 1) : plane(on_plane) {
    Random random(seed);
    const auto u = [&] { return random.uniform(-1, 1); };
    r = rotation(0.3 * Vector3d(u(), u(), u()));
    t = Vector3d(u(), u(), 0.3 * u()).normalized();
    normal = Vector3d(0.3 * u(), 0.3 * u(), 1).normalized();
  }
  std::vector<PointPair> matches(int count, double noise, double wrong, uint64_t seed) const {
    Random random(seed);
    const auto blur = [&] { return noise * random.normal(); };
    std::vector<PointPair> pairs;
    while (int(pairs.size()) < count) {
      Vector3d x(random.uniform(-2, 2), random.uniform(-1.5, 1.5), random.uniform(4, 8));
      if (plane) x *= 6 / x.dot(normal);
      const auto a = project(x), b = project(r * x + t);
      PointPair p{a[0] + blur(), a[1] + blur(), b[0] + blur(), b[1] + blur()};
      if (random.chance(wrong)) {
        p.x1 = random.uniform(0, 640);
        p.y1 = random.uniform(0, 480);
      }
      pairs.push_back(p);
    }
    return pairs;
  }
  Matrix3d essential() const { return (cross(t) * r).normalized(); }
  Matrix3d homography() const { return (r + t * normal.transpose() / 6).normalized(); }
};

PointPair normalised(const PointPair& p) {
  return {(p.x0 - camera.cx) / camera.fx, (p.y0 - camera.cy) / camera.fy,
          (p.x1 - camera.cx) / camera.fx, (p.y1 - camera.cy) / camera.fy};
}
Matrix3d calibration() {
  Matrix3d k;
  k << camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1;
  return k;
}
/// The true model, in the units of estimate_geometry().
Matrix3d truth(Geometry kind, const Scene& s) {
  const Matrix3d k = calibration();
  if (kind == Geometry::essential) return s.essential();
  if (kind == Geometry::homography) return (k * s.homography() * k.inverse()).normalized();
  return (k.inverse().transpose() * s.essential() * k.inverse()).normalized();
}
TwoView as_model(Geometry kind, const Matrix3d& m) {
  TwoView v;
  v.kind = kind;
  Eigen::Map<Eigen::Matrix<double, 3, 3, Eigen::RowMajor>>(v.matrix.data()) = m;
  return v;
}
/// How far exact matches are from a model, root mean square, px.
double error(const TwoView& model, const Scene& scene) {
  double sum = 0;
  const auto exact = scene.matches(200, 0, 0, 99);
  for (const PointPair& p : exact) sum += std::pow(sampson_distance(model, p, cameras), 2);
  return std::sqrt(sum / double(exact.size()));
}

const std::vector<Geometry> kinds = {Geometry::homography, Geometry::fundamental,
                                     Geometry::essential};

}  // namespace

TEST_CASE("the real roots of a polynomial are found, in order") {
  // (z + 3) (z - 0.5) (z - 2) (z^2 + 1), lowest power first
  const std::vector<double> roots = minimal::real_roots(std::array{3.0, -6.5, 3.5, -5.5, 0.5, 1.0});
  REQUIRE(roots.size() == 3);
  CHECK(roots[0] == doctest::Approx(-3).epsilon(1e-12));
  CHECK(roots[1] == doctest::Approx(0.5).epsilon(1e-12));
  CHECK(roots[2] == doctest::Approx(2).epsilon(1e-12));
  CHECK(minimal::real_roots(std::array{1.0, 0.0, 1.0}).empty());
  CHECK(minimal::real_roots(std::array{1.0}).empty());
  CHECK(minimal::real_roots(std::array{0.0, 0.0}).empty());
  REQUIRE(minimal::real_roots(std::array{2.0, 1.0, 0.0}).size() == 1);
  CHECK(minimal::real_roots(std::array{2.0, 1.0, 0.0})[0] == doctest::Approx(-2).epsilon(1e-12));
}

TEST_CASE("each minimal solver gives the true model from an exact sample") {
  for (const Geometry kind : kinds) {
    const std::string name = name_of(kind);
    CAPTURE(name);
    int missed = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
      const Scene scene(kind == Geometry::homography, seed);
      std::vector<PointPair> sample;
      for (const PointPair& p : scene.matches(minimal::sample_size(kind), 0, 0, seed))
        sample.push_back(normalised(p));
      const Matrix3d expected =
          kind == Geometry::homography ? scene.homography() : scene.essential();
      double nearest = 1;
      for (const Matrix3d& m : minimal::solve(kind, sample))
        nearest = std::min({nearest, (m - expected).norm(), (m + expected).norm()});
      missed += !(nearest < 1e-5);
    }
    // Three points near a line, or two roots near each other, are given up.
    CHECK(missed <= 8);
  }
}

TEST_CASE("an essential matrix has two equal singular values and none else, refined or not") {
  const Scene scene(false);
  const auto matches = scene.matches(300, 1, 0.3, 5);
  const TwoView model = estimate_geometry(Geometry::essential, matches, {}, cameras);
  const Matrix3d e = Eigen::Map<const Matrix3d>(model.matrix.data()).transpose();
  const Vector3d s = e.jacobiSvd().singularValues();
  CHECK(s[0] == doctest::Approx(s[1]).epsilon(1e-9));
  CHECK(s[2] < 1e-9);
  const TwoView f = estimate_geometry(Geometry::fundamental, matches, {}, cameras);
  CHECK(std::abs(Eigen::Map<const Matrix3d>(f.matrix.data()).determinant()) < 1e-12);
}

TEST_CASE("the true model is found among half wrong matches, and its inliers with it") {
  for (const Geometry kind : kinds) {
    const std::string name = name_of(kind);
    CAPTURE(name);
    const Scene scene(kind == Geometry::homography);
    const auto matches = scene.matches(400, 0.5, 0.5, 7);
    const TwoView model = estimate_geometry(kind, matches, {.threshold = 2}, cameras);
    CHECK(error(model, scene) < 0.2);
    const TwoView exact = as_model(kind, truth(kind, scene));
    CHECK(error(exact, scene) < 1e-9);
    int64_t wrong = 0, counted = 0;
    for (size_t k = 0; k < matches.size(); ++k) {
      wrong += model.inlier[k] != (sampson_distance(exact, matches[k], cameras) < 2);
      counted += model.inlier[k];
    }
    CHECK(wrong < 8);
    CHECK(counted == model.inliers);
    CHECK(model.inliers > 180);
  }
}

TEST_CASE("local optimisation is more accurate than plain RANSAC") {
  for (const Geometry kind : kinds) {
    const std::string name = name_of(kind);
    CAPTURE(name);
    double plain = 0, local = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Scene scene(kind == Geometry::homography, seed);
      const auto matches = scene.matches(200, 1, 0.4, seed);
      RansacOptions o{.threshold = 3, .seed = seed};
      local += error(estimate_geometry(kind, matches, o, cameras), scene);
      o.local_optimization = false;
      plain += error(estimate_geometry(kind, matches, o, cameras), scene);
    }
    CHECK(local < 0.85 * plain);
  }
}

TEST_CASE("the same matches and seed give the same bits") {
  const auto matches = Scene(false).matches(300, 1, 0.5, 3);
  for (const Geometry kind : kinds) {
    const TwoView a = estimate_geometry(kind, matches, {}, cameras);
    const TwoView b = estimate_geometry(kind, matches, {}, cameras);
    CHECK(a.matrix == b.matrix);
    CHECK(a.inlier == b.inlier);
    CHECK(a.iterations == b.iterations);
  }
}

TEST_CASE("the pose comes out of an essential matrix, with the points in front of both cameras") {
  const Scene scene(false, 4);
  const auto matches = scene.matches(300, 0.5, 0.3, 8);
  const TwoView e = estimate_geometry(Geometry::essential, matches, {.threshold = 2}, cameras);
  const RelativePose pose = relative_pose(e, matches, cameras);
  const Matrix3d r = Eigen::Map<const Matrix3d>(pose.rotation.data()).transpose();
  const double angle = std::acos(std::min(1.0, ((r * scene.r.transpose()).trace() - 1) / 2));
  CHECK(angle * 180 / std::numbers::pi < 0.5);
  CHECK(Eigen::Map<const Vector3d>(pose.translation.data()).dot(scene.t) > 0.999);
  CHECK(pose.in_front > e.inliers * 9 / 10);
  CHECK_THROWS_AS(relative_pose({}, matches, cameras), Error);
}

TEST_CASE("a plane that holds nearly all matches does not hide the pose that the others tell") {
  // The first sample without outliers may give a matrix that only the plane agrees with.
  const auto wrong = [](Geometry kind, int64_t min_iterations, bool best_first) {
    int count = 0;
    for (uint64_t seed = 0; seed < 30; ++seed) {
      Scene scene(true, seed);
      auto matches = scene.matches(360, 0.3, 0, seed);
      scene.plane = false;
      for (const PointPair& p : scene.matches(40, 0.3, 0, seed + 1)) matches.push_back(p);
      const TwoView model = estimate_geometry(kind, matches,
                                              {.threshold = 1,
                                               .min_iterations = min_iterations,
                                               .seed = seed,
                                               .best_first = best_first},
                                              cameras);
      count += error(model, scene) > 1;
    }
    return count;
  };
  for (const bool best_first : {false, true}) {  // the plane's come first
    CAPTURE(best_first);
    CHECK(wrong(Geometry::essential, -1, best_first) == 0);
    CHECK(wrong(Geometry::essential, 0, best_first) > 5);
  }
  // Seven matches of which two lie off the plane are rarer: often, not always.
  CHECK(wrong(Geometry::fundamental, -1, false) < 15);
  CHECK(wrong(Geometry::fundamental, 0, false) > 20);
}

TEST_CASE("too few, equal or collinear matches, and wrong ones alone, give no model or no crash") {
  const Scene scene(false);
  for (const Geometry kind : kinds) {
    const std::string name = name_of(kind);
    CAPTURE(name);
    const auto few = scene.matches(minimal::sample_size(kind) - 1, 0, 0, 1);
    CHECK(estimate_geometry(kind, few, {}, cameras).inliers == 0);
    CHECK(estimate_geometry(kind, {}, {}, cameras).inliers == 0);
    const std::vector<PointPair> equal(50, {10, 20, 30, 40});
    const TwoView none = estimate_geometry(kind, equal, {.max_iterations = 100}, cameras);
    CHECK(none.inlier.size() == 50);
    std::vector<PointPair> line;
    for (int k = 0; k < 50; ++k) line.push_back({10.0 * k, 5.0 * k, 600 - 10.0 * k, 5.0 * k});
    estimate_geometry(kind, line, {.max_iterations = 100}, cameras);
    if (kind == Geometry::homography) {
      CHECK(none.inliers == 0);
      CHECK(estimate_geometry(kind, line, {.max_iterations = 100}, cameras).inliers == 0);
    }
    const auto wrong = scene.matches(200, 0, 1, 1);
    CHECK(estimate_geometry(kind, wrong, {.max_iterations = 500}, cameras).inliers < 40);
    // Exact matches, all of one model.
    const auto exact = Scene(kind == Geometry::homography).matches(100, 0, 0, 2);
    const TwoView all = estimate_geometry(kind, exact, {.min_iterations = 0}, cameras);
    CHECK(all.inliers == 100);
    CHECK(all.iterations < 50);
  }
  const auto some = scene.matches(20, 0, 0, 1);
  CHECK(has(error_of(ErrorId::argument,
                     [&] { estimate_geometry(Geometry::fundamental, some, {.threshold = 0}); }),
            "the threshold is 0"));
  CHECK(has(error_of(ErrorId::argument, [&] { estimate_geometry(Geometry::essential, some, {}); }),
            "focal lengths"));
  CHECK(has(error_of(ErrorId::argument, [] { geometry("affine"); }), "no geometry 'affine'"));
}

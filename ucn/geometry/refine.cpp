#include "ucn/geometry/refine-inl.h"

#include <Eigen/Cholesky>
#include <Eigen/Geometry>
#include <Eigen/QR>
#include <Eigen/SVD>

namespace cairn::ucn::refine {
namespace {

using Eigen::Matrix3d;
using Eigen::Vector3d;
using Vector9 = Eigen::Matrix<double, 9, 1>;
using Matrix9 = Eigen::Matrix<double, 9, 9>;
using RowMajor3 = Eigen::Matrix<double, 3, 3, Eigen::RowMajor>;
using Tangent = Eigen::Matrix<double, 9, Eigen::Dynamic, 0, 9, 8>;
using Step = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, 8, 1>;

/// Tukey's biweight of a squared distance in units of the threshold: 1 - (1 - s)^3, 1 beyond.
double cost(Geometry kind, std::span<const PointPair> matches, double per_threshold2,
            const double* m) {
  double sum = 0;
  for (const PointPair& p : matches) {
    const double s = squared_distance(kind, m, p) * per_threshold2;
    const double inside = s < 1 ? 1 - s : 0;  // NaN counts as outside
    sum += 1 - inside * inside * inside;
  }
  return sum;
}

/// The normal equations with respect to the nine elements: whitened residuals r, whose gradients g
/// leave out how the whitening changes, which is of second order near a fit. A gradient is a row c
/// of the second photo times the place x of the first, in each of the three rows of the matrix, so
/// that g g' has 6 x 6 different elements: those of c c' times those of x x'.
struct Normal {
  Matrix9 a;  // sum of weight g g'
  Vector9 b;  // sum of weight g r

  Normal(Geometry kind, std::span<const PointPair> matches, double per_threshold2,
         const double* m) {
    using Vector6 = Eigen::Matrix<double, 6, 1>;
    Eigen::Matrix<double, 6, 6> products = Eigen::Matrix<double, 6, 6>::Zero();
    RowMajor3 residuals = RowMajor3::Zero();
    for (const PointPair& p : matches) {
      const double s = squared_distance(kind, m, p) * per_threshold2;
      if (!(s < 1)) continue;
      const double weight = (1 - s) * (1 - s);
      const Vector3d x(p.x0, p.y0, 1);
      const Vector6 xx(p.x0 * p.x0, p.x0 * p.y0, p.x0, p.y0 * p.y0, p.y0, 1);
      const auto add = [&](const Vector3d& c, double r) {
        const Vector3d w = weight * c;
        residuals += (r * w) * x.transpose();
        return Vector6(w[0] * c[0], w[0] * c[1], w[0] * c[2], w[1] * c[1], w[1] * c[2],
                       w[2] * c[2]);
      };
      if (kind == Geometry::homography) {
        const Transfer t(m, p);
        const double l00 = std::sqrt(t.s00), l10 = t.s01 / l00;  // s = L L'
        const double l11 = std::sqrt(t.s11 - l10 * l10);
        const double r0 = t.e0 / l00, r1 = (t.e1 - l10 * r0) / l11, q = l10 / l00;
        const Vector6 first = add({1 / l00, 0, -p.x1 / l00}, r0);
        const Vector6 second = add({-q / l11, 1 / l11, (q * p.x1 - p.y1) / l11}, r1);
        products.noalias() += (first + second) * xx.transpose();
      } else {
        const Epipolar q(m, p);
        const double whitening = 1 / std::sqrt(q.gradient2);
        const Vector6 only = add(whitening * Vector3d(p.x1, p.y1, 1), whitening * q.e);
        products.noalias() += only * xx.transpose();
      }
    }
    constexpr int at[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    for (int i = 0; i < 9; ++i)
      for (int k = 0; k < 9; ++k) a(i, k) = products(at[i / 3][k / 3], at[i % 3][k % 3]);
    b = Eigen::Map<const Vector9>(residuals.data());
  }
};

Vector9 vector_of(const Matrix3d& m) {
  Vector9 v;
  Eigen::Map<RowMajor3>(v.data()) = m;
  return v;
}

/// The models around one, by as many numbers as it has degrees of freedom.
struct Chart {
  Geometry kind;
  Vector9 centre;
  Matrix3d u, v;
  double s = 1;  // the second singular value; the first is 1
  Tangent tangent;

  Chart(Geometry k, const Vector9& m) : kind(k), centre(m) {
    if (kind == Geometry::homography) {
      const Matrix9 q = Eigen::HouseholderQR<Vector9>(m).householderQ();
      tangent = q.rightCols<8>();
      return;
    }
    const Eigen::JacobiSVD<Matrix3d> svd(Eigen::Map<const RowMajor3>(m.data()),
                                         Eigen::ComputeFullU | Eigen::ComputeFullV);
    u = svd.matrixU();
    v = svd.matrixV();
    if (kind == Geometry::fundamental) s = svd.singularValues()[1] / svd.singularValues()[0];
    const Matrix3d sv = Vector3d(1, s, 0).asDiagonal() * v.transpose();
    const Matrix3d us = u * Vector3d(1, s, 0).asDiagonal();
    tangent.resize(9, kind == Geometry::fundamental ? 7 : 5);
    for (int i = 0; i < 3; ++i) {
      Matrix3d turn = Matrix3d::Zero();  // [e_i]x
      turn((i + 2) % 3, (i + 1) % 3) = 1;
      turn((i + 1) % 3, (i + 2) % 3) = -1;
      tangent.col(i) = vector_of(u * turn * sv);
      // About z, U and V of an essential matrix turn as one.
      if (3 + i < tangent.cols()) tangent.col(3 + i) = vector_of(us * (v * turn).transpose());
    }
    if (kind == Geometry::fundamental) tangent.col(6) = vector_of(u.col(1) * v.col(1).transpose());
    const double scale = 1 / std::sqrt(1 + s * s);  // to unit norm
    tangent *= scale;
  }
  Vector9 at(const Step& d) const {
    if (kind == Geometry::homography) return (centre + tangent * d).normalized();
    const auto turned = [](const Matrix3d& m, const Vector3d& w) -> Matrix3d {
      const double angle = w.norm();
      return angle > 0 ? m * Eigen::AngleAxisd(angle, w / angle).toRotationMatrix() : m;
    };
    const bool free = kind == Geometry::fundamental;
    const Matrix3d left = turned(u, d.head<3>());
    const Matrix3d right = turned(v, {d[3], d[4], free ? d[5] : 0});
    const Vector3d values(1, free ? s + d[6] : 1, 0);
    return vector_of(left * values.asDiagonal() * right.transpose()).normalized();
  }
};

}  // namespace

void levenberg_marquardt(Geometry kind, std::span<const PointPair> matches, double threshold,
                         int steps, std::array<double, 9>& m) {
  const double scale = 1 / (threshold * threshold);
  double now = cost(kind, matches, scale, m.data()), damping = 1e-3;
  for (int step = 0; step < steps; ++step) {
    const Chart chart(kind, Eigen::Map<const Vector9>(m.data()));
    const Normal normal(kind, matches, scale, m.data());
    const Eigen::MatrixXd a = chart.tangent.transpose() * normal.a * chart.tangent;
    const Eigen::VectorXd b = chart.tangent.transpose() * normal.b;
    bool moved = false;
    for (int attempt = 0; attempt < 4 && !moved; ++attempt) {
      Eigen::MatrixXd damped = a;
      damped.diagonal() *= 1 + damping;
      const Step d = -damped.ldlt().solve(b);
      if (!d.allFinite()) return;
      const Vector9 next = chart.at(d);
      const double then = cost(kind, matches, scale, next.data());
      moved = then < now;
      damping *= moved ? 0.1 : 10;
      if (!moved) continue;
      const double gain = now - then;
      Eigen::Map<Vector9>(m.data()) = next;
      now = then;
      if (gain < 1e-9 * now) return;
    }
    if (!moved) return;
  }
}

}  // namespace cairn::ucn::refine

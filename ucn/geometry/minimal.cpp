#include "ucn/geometry/minimal.h"

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>

namespace cairn::ucn::minimal {
namespace {

using Eigen::Matrix;
using Eigen::Matrix3d;
using RowMajor3 = Matrix<double, 3, 3, Eigen::RowMajor>;
using Vector9 = Matrix<double, 9, 1>;

Matrix3d matrix_of(const Vector9& v) { return Eigen::Map<const RowMajor3>(v.data()); }

/// x1' M x0 = row * M, its elements row by row.
Vector9 epipolar_row(const PointPair& p) {
  Vector9 row;
  row << p.x1 * p.x0, p.x1 * p.y0, p.x1, p.y1 * p.x0, p.y1 * p.y0, p.y1, p.x0, p.y0, 1;
  return row;
}

/// Orthonormal matrices, as vectors, that the epipolar rows of a sample leave free.
template <int points>
Matrix<double, 9, 9 - points> null_space(std::span<const PointPair> sample) {
  Matrix<double, 9, points> rows;
  for (int k = 0; k < points; ++k) rows.col(k) = epipolar_row(sample[size_t(k)]);
  const Eigen::ColPivHouseholderQR<Matrix<double, 9, points>> qr(rows);
  const Matrix<double, 9, 9> q = qr.householderQ();
  return q.template rightCols<9 - points>();
}

double side(double ax, double ay, double bx, double by, double cx, double cy) {
  return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}

void homography(std::span<const PointPair> s, std::vector<Matrix3d>& models) {
  // A plane seen from one side keeps the turning sense of every three points, and three on a line
  // determine nothing.
  for (size_t a = 0; a < 4; ++a) {
    const PointPair &p = s[a], &q = s[(a + 1) % 4], &r = s[(a + 2) % 4];
    const double before = side(p.x0, p.y0, q.x0, q.y0, r.x0, r.y0);
    const double after = side(p.x1, p.y1, q.x1, q.y1, r.x1, r.y1);
    if (!(before * after > 0) || std::abs(before) < 1e-6 || std::abs(after) < 1e-6) return;
  }
  Matrix<double, 8, 8> a;
  Matrix<double, 8, 1> b;
  for (int k = 0; k < 4; ++k) {
    const PointPair& p = s[size_t(k)];
    a.row(2 * k) << p.x0, p.y0, 1, 0, 0, 0, -p.x1 * p.x0, -p.x1 * p.y0;
    a.row(2 * k + 1) << 0, 0, 0, p.x0, p.y0, 1, -p.y1 * p.x0, -p.y1 * p.y0;
    b[2 * k] = p.x1;
    b[2 * k + 1] = p.y1;
  }
  Vector9 h;
  h << a.partialPivLu().solve(b), 1;
  if (h.allFinite()) models.push_back(matrix_of(h.normalized()));
}

void fundamental(std::span<const PointPair> s, std::vector<Matrix3d>& models) {
  const auto free = null_space<7>(s);
  const Matrix3d f = matrix_of(free.col(0)), g = matrix_of(free.col(1));
  // det(f + z g) is a cubic in z: by its values at four places.
  const auto det = [&](double z) { return (f + z * g).determinant(); };
  const double d0 = f.determinant(), d1 = det(1), dm = det(-1), d3 = g.determinant();
  const double d2 = (d1 + dm) / 2 - d0;
  for (const double z : real_roots(std::array{d0, d1 - d0 - d2 - d3, d2, d3}))
    models.push_back((f + z * g).normalized());
}

// Polynomials in x, y, z for the five-point problem, by their coefficients of these monomials.
struct Monomial {
  int x, y, z;
  constexpr bool operator==(const Monomial&) const = default;
};
constexpr std::array<Monomial, 4> linear = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0, 0, 0}}};
constexpr std::array<Monomial, 10> quadratic = {{{2, 0, 0},
                                                 {1, 1, 0},
                                                 {1, 0, 1},
                                                 {0, 2, 0},
                                                 {0, 1, 1},
                                                 {0, 0, 2},
                                                 {1, 0, 0},
                                                 {0, 1, 0},
                                                 {0, 0, 1},
                                                 {0, 0, 0}}};
/// Nister's order: elimination of the first ten leaves x, y times powers of z.
constexpr std::array<Monomial, 20> cubic = {
    {{3, 0, 0}, {0, 3, 0}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}, {2, 0, 0}, {0, 2, 1},
     {0, 2, 0}, {1, 1, 1}, {1, 1, 0}, {1, 0, 2}, {1, 0, 1}, {1, 0, 0}, {0, 1, 2},
     {0, 1, 1}, {0, 1, 0}, {0, 0, 3}, {0, 0, 2}, {0, 0, 1}, {0, 0, 0}}};

/// Where the product of the i-th of `a` with the j-th of `b` stands in `c`.
template <size_t A, size_t B, size_t C>
constexpr auto products(const std::array<Monomial, A>& a, const std::array<Monomial, B>& b,
                        const std::array<Monomial, C>& c) {
  std::array<std::array<int, B>, A> table{};
  for (size_t i = 0; i < A; ++i)
    for (size_t j = 0; j < B; ++j)
      for (size_t k = 0; k < C; ++k)
        if (c[k] == Monomial{a[i].x + b[j].x, a[i].y + b[j].y, a[i].z + b[j].z})
          table[i][j] = int(k);
  return table;
}
constexpr auto linear_linear = products(linear, linear, quadratic);
constexpr auto quadratic_linear = products(quadratic, linear, cubic);

using Linear = Matrix<double, 1, 4>;
using Quadratic = Matrix<double, 1, 10>;
using Cubic = Matrix<double, 1, 20>;

Quadratic operator*(const Linear& a, const Linear& b) {
  Quadratic c = Quadratic::Zero();
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) c[linear_linear[size_t(i)][size_t(j)]] += a[i] * b[j];
  return c;
}
Cubic operator*(const Quadratic& a, const Linear& b) {
  Cubic c = Cubic::Zero();
  for (int i = 0; i < 10; ++i)
    for (int j = 0; j < 4; ++j) c[quadratic_linear[size_t(i)][size_t(j)]] += a[i] * b[j];
  return c;
}

/// Polynomials in one variable, lowest power first.
using Polynomial = std::vector<double>;
Polynomial operator*(const Polynomial& a, const Polynomial& b) {
  Polynomial c(a.size() + b.size() - 1);
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < b.size(); ++j) c[i + j] += a[i] * b[j];
  return c;
}
Polynomial operator-(Polynomial a, const Polynomial& b) {
  a.resize(std::max(a.size(), b.size()));
  for (size_t i = 0; i < b.size(); ++i) a[i] -= b[i];
  return a;
}
double value(std::span<const double> c, double z) {
  double v = 0;
  for (size_t k = c.size(); k-- > 0;) v = v * z + c[k];
  return v;
}

/// The ten cubics that make x X + y Y + z Z + W essential: det E = 0 and
/// 2 E E' E - trace(E E') E = 0.
Matrix<double, 10, 20> constraints(const Matrix<double, 9, 4>& free) {
  std::array<std::array<Linear, 3>, 3> e;
  for (int i = 0; i < 9; ++i) e[size_t(i) / 3][size_t(i) % 3] = free.row(i);
  Matrix<double, 10, 20> rows;
  const auto minor = [&](size_t a, size_t b) -> Quadratic {
    return e[1][a] * e[2][b] - e[1][b] * e[2][a];
  };
  rows.row(0) = minor(1, 2) * e[0][0] - minor(0, 2) * e[0][1] + minor(0, 1) * e[0][2];
  std::array<std::array<Quadratic, 3>, 3> s;  // E E' - trace / 2
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j <= i; ++j)
      s[i][j] = s[j][i] = e[i][0] * e[j][0] + e[i][1] * e[j][1] + e[i][2] * e[j][2];
  const Quadratic half_trace = 0.5 * (s[0][0] + s[1][1] + s[2][2]);
  for (size_t i = 0; i < 3; ++i) s[i][i] -= half_trace;
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      rows.row(1 + int(3 * i + j)) = s[i][0] * e[0][j] + s[i][1] * e[1][j] + s[i][2] * e[2][j];
  return rows;
}

void essential(std::span<const PointPair> sample, std::vector<Matrix3d>& models) {
  const Matrix<double, 9, 4> free = null_space<5>(sample);
  const Matrix<double, 10, 20> m = constraints(free);
  const Matrix<double, 10, 10> rest = m.leftCols<10>().partialPivLu().solve(m.rightCols<10>());
  if (!rest.allFinite()) return;
  // Rows 4 + 2 k and 5 + 2 k begin with z q and q, for q = x^2, y^2, x y: the first minus z times
  // the second is b[k] . (x, y, 1), polynomials in z.
  std::array<std::array<Polynomial, 3>, 3> b;
  for (int k = 0; k < 3; ++k) {
    const auto upper = rest.row(4 + 2 * k), lower = rest.row(5 + 2 * k);
    const auto difference = [&](int first, int count) {  // highest power first
      Polynomial p(size_t(count) + 1);
      for (int i = 0; i < count; ++i) {
        p[size_t(count - 1 - i)] += upper[first + i];
        p[size_t(count - i)] -= lower[first + i];
      }
      return p;
    };
    b[size_t(k)] = {difference(0, 3), difference(3, 3), difference(6, 4)};
  }
  const auto minor = [&](size_t i, size_t j) { return b[1][i] * b[2][j] - b[1][j] * b[2][i]; };
  const Polynomial det = b[0][0] * minor(1, 2) - (b[0][1] * minor(0, 2) - b[0][2] * minor(0, 1));
  for (const double z : real_roots(det)) {
    Matrix3d at;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) at(i, j) = value(b[size_t(i)][size_t(j)], z);
    // (x, y, 1) is orthogonal to all three rows, which span a plane.
    Eigen::Vector3d best = at.row(0).cross(at.row(1));
    for (const Eigen::Vector3d& v :
         {Eigen::Vector3d(at.row(0).cross(at.row(2))), Eigen::Vector3d(at.row(1).cross(at.row(2)))})
      if (v.squaredNorm() > best.squaredNorm()) best = v;
    const Eigen::Vector4d weights(best[0] / best[2], best[1] / best[2], z, 1);
    if (weights.allFinite()) models.push_back(matrix_of((free * weights).normalized()));
  }
}

}  // namespace

std::vector<double> real_roots(std::span<const double> c) {
  size_t n = c.size();  // its degree is n - 1
  while (n > 0 && c[n - 1] == 0) --n;
  std::vector<double> roots;
  if (n < 2) return roots;
  // Cauchy's bound; the derivatives' roots lie within the hull of the polynomial's.
  double bound = 0;
  for (size_t k = 0; k + 1 < n; ++k) bound = std::max(bound, std::abs(c[k] / c[n - 1]));
  bound += 1;
  if (!std::isfinite(bound)) return roots;
  // From the last derivative but one to the polynomial: between neighbouring roots of one's
  // derivative lies at most one of its own.
  for (size_t order = n - 2;; --order) {
    Polynomial p(c.begin() + int64_t(order), c.begin() + int64_t(n));
    for (size_t k = 0; k < p.size(); ++k)
      for (size_t i = 0; i < order; ++i) p[k] *= double(k + order - i);
    std::vector<double> ends = {-bound};
    ends.insert(ends.end(), roots.begin(), roots.end());
    ends.push_back(bound);
    roots.clear();
    for (size_t k = 0; k + 1 < ends.size(); ++k) {
      double low = ends[k], high = ends[k + 1];
      const double at_low = value(p, low);
      if (!(at_low * value(p, high) < 0)) continue;
      // Newton's steps while they stay inside, else halving.
      double z = (low + high) / 2;
      for (int step = 0; step < 100; ++step) {
        double v = 0, slope = 0;
        for (size_t i = p.size(); i-- > 0;) {
          slope = slope * z + v;
          v = v * z + p[i];
        }
        (v * at_low > 0 ? low : high) = z;
        double next = z - v / slope;
        if (!(next > low && next < high)) next = (low + high) / 2;
        if (std::abs(next - z) <= 1e-14 * std::abs(z)) break;
        z = next;
      }
      roots.push_back(z);
    }
    if (order == 0) return roots;
  }
}

std::vector<Matrix3d> solve(Geometry kind, std::span<const PointPair> sample) {
  std::vector<Matrix3d> models;
  if (kind == Geometry::homography) homography(sample, models);
  if (kind == Geometry::fundamental) fundamental(sample, models);
  if (kind == Geometry::essential) essential(sample, models);
  return models;
}

Matrix3d fit(Geometry kind, std::span<const PointPair> matches) {
  Matrix<double, 9, 9> sum = Matrix<double, 9, 9>::Zero();
  for (const PointPair& p : matches) {
    if (kind == Geometry::homography) {
      Vector9 u, v;
      u << p.x0, p.y0, 1, 0, 0, 0, -p.x1 * p.x0, -p.x1 * p.y0, -p.x1;
      v << 0, 0, 0, p.x0, p.y0, 1, -p.y1 * p.x0, -p.y1 * p.y0, -p.y1;
      sum += u * u.transpose() + v * v.transpose();
    } else {
      const Vector9 row = epipolar_row(p);
      sum += row * row.transpose();
    }
  }
  const Eigen::SelfAdjointEigenSolver<Matrix<double, 9, 9>> eigen(sum);
  const Matrix3d m = matrix_of(eigen.eigenvectors().col(0));
  if (kind == Geometry::homography) return m;
  const Eigen::JacobiSVD<Matrix3d> svd(m, Eigen::ComputeFullU | Eigen::ComputeFullV);
  const Eigen::Vector3d s = svd.singularValues();
  return (svd.matrixU() * Eigen::Vector3d(s[0], s[1], 0).asDiagonal() * svd.matrixV().transpose())
      .normalized();
}

}  // namespace cairn::ucn::minimal

#include "ucn/geometry/minimal-inl.h"

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>

#include "tensor/error.h"

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
template <size_t N>
using Polynomial = std::array<double, N>;
template <size_t A, size_t B>
Polynomial<A + B - 1> operator*(const Polynomial<A>& a, const Polynomial<B>& b) {
  Polynomial<A + B - 1> c{};
  for (size_t i = 0; i < A; ++i)
    for (size_t j = 0; j < B; ++j) c[i + j] += a[i] * b[j];
  return c;
}
template <size_t N>
Polynomial<N> operator-(Polynomial<N> a, const Polynomial<N>& b) {
  for (size_t i = 0; i < N; ++i) a[i] -= b[i];
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
  // the second is (x[k], y[k], one[k]) . (x, y, 1), with polynomials in z.
  std::array<Polynomial<4>, 3> x, y;
  std::array<Polynomial<5>, 3> one;
  for (int k = 0; k < 3; ++k) {
    const auto fill = [&](auto& p, int first) {  // the rows have the highest power first
      p = {};
      const auto count = p.size() - 1;
      for (size_t i = 0; i < count; ++i) {
        p[count - 1 - i] += rest(4 + 2 * k, first + int(i));
        p[count - i] -= rest(5 + 2 * k, first + int(i));
      }
    };
    fill(x[size_t(k)], 0);
    fill(y[size_t(k)], 3);
    fill(one[size_t(k)], 6);
  }
  const auto det = one[0] * (x[1] * y[2] - x[2] * y[1]) - one[1] * (x[0] * y[2] - x[2] * y[0]) -
                   one[2] * (x[1] * y[0] - x[0] * y[1]);
  for (const double z : real_roots(det)) {
    Matrix3d at;
    for (int i = 0; i < 3; ++i)
      at.row(i) << value(x[size_t(i)], z), value(y[size_t(i)], z), value(one[size_t(i)], z);
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
  std::vector<double> roots;
  while (!c.empty() && c.back() == 0) c = c.first(c.size() - 1);
  constexpr size_t most = 11;
  require(c.size() <= most, ErrorId::argument, "real_roots", "of degree ", c.size(), " - 1");
  if (c.size() < 2) return roots;
  // Sturm's chain: p, p', and the negative remainders of each two. How many signs change along it
  // drops by one at each root.
  std::array<std::array<double, most>, most> chain{};
  std::array<size_t, most> terms{};
  std::ranges::copy(c, chain[0].begin());
  terms[0] = c.size();
  for (size_t k = 1; k < c.size(); ++k) chain[1][k - 1] = double(k) * c[k];
  terms[1] = c.size() - 1;
  size_t length = 2;
  for (; terms[length - 1] > 1; ++length) {
    auto rest = chain[length - 2];
    const auto& by = chain[length - 1];
    const size_t n = terms[length - 1];
    double largest = 0;
    for (size_t k = terms[length - 2]; k-- >= n;) {
      const double factor = rest[k] / by[n - 1];
      for (size_t i = 0; i < n; ++i) rest[k - (n - 1) + i] -= factor * by[i];
    }
    for (size_t i = 0; i + 1 < n; ++i) largest = std::max(largest, std::abs(rest[i]));
    if (!(largest > 0)) break;  // a multiple root
    for (size_t i = 0; i + 1 < n; ++i) chain[length][i] = -rest[i] / largest;
    terms[length] = n - 1;
    while (terms[length] > 1 && chain[length][terms[length] - 1] == 0) --terms[length];
  }
  const auto changes = [&](double z) {
    int count = 0;
    double before = 0;
    for (size_t k = 0; k < length; ++k) {
      const double v = value({chain[k].data(), terms[k]}, z);
      count += v * before < 0;
      if (v != 0) before = v;
    }
    return count;
  };
  // Halving the angle whose tangent is z parts roots of any size alike.
  struct Interval {
    double low, high;
    int at_low, at_high, depth;
  };
  constexpr double end = 1.5707;  // nearly pi / 2
  std::vector<Interval> open = {{-end, end, changes(std::tan(-end)), changes(std::tan(end)), 0}};
  while (!open.empty()) {
    const Interval i = open.back();
    open.pop_back();
    if (i.at_low <= i.at_high) continue;
    if (i.at_low - i.at_high > 1) {
      if (i.depth > 40) continue;
      const double middle = (i.low + i.high) / 2;
      const int there = changes(std::tan(middle));
      open.push_back({middle, i.high, there, i.at_high, i.depth + 1});
      open.push_back({i.low, middle, i.at_low, there, i.depth + 1});
      continue;
    }
    double low = std::tan(i.low), high = std::tan(i.high);
    const double sign = value(c, low);
    if (!(sign * value(c, high) < 0)) continue;
    // Newton's steps while they stay inside, else halving.
    double z = std::tan((i.low + i.high) / 2);
    for (int step = 0; step < 100; ++step) {
      double v = 0, slope = 0;
      for (size_t k = c.size(); k-- > 0;) {
        slope = slope * z + v;
        v = v * z + c[k];
      }
      (v * sign > 0 ? low : high) = z;
      double next = z - v / slope;
      if (!(next > low && next < high)) next = (low + high) / 2;
      if (std::abs(next - z) <= 1e-14 * std::abs(z)) break;
      z = next;
    }
    roots.push_back(z);
  }
  return roots;
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

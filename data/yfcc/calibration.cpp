#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/geometry/homography.h"
#include "data/hdf5.h"
#include "data/yfcc/yfcc.h"

namespace cairn {
namespace {

using Matrix = std::array<double, 9>;
using Vector = std::array<double, 3>;

Matrix transposed(const Matrix& m) {
  return {m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]};
}
Vector product(const Matrix& a, const Vector& x) {
  Vector y{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t k = 0; k < 3; ++k) y[i] += a[3 * i + k] * x[k];
  return y;
}

/// What a camera sees at a pixel, on the plane at depth 1.
Vector on_plane(const YfccCalibration& c, const double* p) {
  return product(c.k_inverse, Vector{p[0] - c.size[0] / 2, p[1] - c.size[1] / 2, 1});
}

}  // namespace

Tensor YfccCalibration::to_tensor() const {
  std::vector<double> all(k.begin(), k.end());
  all.insert(all.end(), r.begin(), r.end());
  all.insert(all.end(), t.begin(), t.end());
  all.insert(all.end(), size.begin(), size.end());
  all.insert(all.end(), k_inverse.begin(), k_inverse.end());
  return Tensor::from({32}, all);
}

YfccCalibration YfccCalibration::from_tensor(const Tensor& all, const std::string& origin) {
  const auto check = [&](bool ok, const char* what) {
    require(ok, ErrorId::format, "yfcc", "'", origin, "': ", what);
  };
  check(all.numel() == 32 && all.dtype() == DType::f64, "a calibration is 32 numbers (f64)");
  const double* p = all.data<double>();
  for (int i = 0; i < 32; ++i) check(std::isfinite(p[i]), "its calibration is not finite");
  YfccCalibration c;
  std::copy_n(p, 9, c.k.begin());
  std::copy_n(p + 9, 9, c.r.begin());
  std::copy_n(p + 18, 3, c.t.begin());
  std::copy_n(p + 21, 2, c.size.begin());
  std::copy_n(p + 23, 9, c.k_inverse.begin());
  check(c.size[0] >= 1 && c.size[1] >= 1, "its image has no size");
  const Matrix one = compose(c.k, c.k_inverse);
  for (size_t i = 0; i < 9; ++i)
    check(std::fabs(one[i] - (i % 4 == 0)) <= 1e-6, "its inverse of K is none");
  return c;
}

YfccCalibration read_yfcc_calibration(const std::string& path) {
  YfccCalibration c;
  const std::vector<Tensor> all = read_hdf5(path, {{"K", 9}, {"R", 9}, {"T", 3}, {"imsize", 2}});
  const auto read = [&](const Tensor& values, auto& to) {
    require(values.numel() == int64_t(to.size()), ErrorId::format, "yfcc", "'", path,
            "': a data set is ", values.shape(), ", not ", to.size(), " numbers");
    std::ranges::copy(values.span<double>(), to.begin());
  };
  read(all[0], c.k);
  read(all[1], c.r);
  read(all[2], c.t);
  read(all[3], c.size);
  try {
    c.k_inverse = inverse(c.k);  // up to its last element, which is 1 as K's last row is 0 0 1
  } catch (const Error&) {
    throw Error(ErrorId::format, "yfcc", cat("'", path, "': K is singular or not finite"));
  }
  return YfccCalibration::from_tensor(c.to_tensor(), path);
}

std::array<double, 9> essential_matrix(const YfccCalibration& c0, const YfccCalibration& c1) {
  const Matrix dr = compose(c1.r, transposed(c0.r));
  const Vector moved = product(dr, c0.t);
  const Vector t{c1.t[0] - moved[0], c1.t[1] - moved[1], c1.t[2] - moved[2]};
  const Matrix cross{0, -t[2], t[1], t[2], 0, -t[0], -t[1], t[0], 0};
  return compose(transposed(dr), cross);
}

Tensor epipolar_residuals(const YfccCalibration& c0, const YfccCalibration& c1,
                          const Tensor& positions0, const Tensor& positions1) {
  require_same_shape("epipolar_residuals", positions0, positions1);
  const Matrix e = essential_matrix(c0, c1), e_transposed = transposed(e);
  const auto inverse_length = [](const Vector& line) {  // the small number is the reference's
    return 1 / std::sqrt(line[0] * line[0] + line[1] * line[1] + 1e-7);
  };
  Tensor residuals = Tensor::empty({positions0.dim(0)}, DType::f64);
  for (int64_t i = 0; i < positions0.dim(0); ++i) {
    const Vector x0 = on_plane(c0, positions0.data<double>() + 2 * i);
    const Vector x1 = on_plane(c1, positions1.data<double>() + 2 * i);
    const Vector line0 = product(e, x1), line1 = product(e_transposed, x0);
    const double off = x0[0] * line0[0] + x0[1] * line0[1] + x0[2] * line0[2];
    residuals.data<double>()[i] = std::fabs(off) * (inverse_length(line0) + inverse_length(line1));
  }
  return residuals;
}

Tensor sight_angles(const YfccCalibration& c0, const YfccCalibration& c1, const Tensor& positions0,
                    const Tensor& positions1) {
  require_same_shape("sight_angles", positions0, positions1);
  const auto direction = [](const YfccCalibration& c, const double* p) {
    Vector d = product(transposed(c.r), on_plane(c, p));
    const double length = std::hypot(d[0], d[1], d[2]);
    for (double& v : d) v /= length;
    return d;
  };
  Tensor angles = Tensor::empty({positions0.dim(0)}, DType::f64);
  for (int64_t i = 0; i < positions0.dim(0); ++i) {
    const Vector a = direction(c0, positions0.data<double>() + 2 * i);
    const Vector b = direction(c1, positions1.data<double>() + 2 * i);
    const double cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    angles.data<double>()[i] = std::acos(std::clamp(cosine, -1.0, 1.0)) * 180 / std::numbers::pi;
  }
  return angles;
}

}  // namespace cairn

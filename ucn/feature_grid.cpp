#include "ucn/feature_grid.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "tensor/kernels/bilinear/bilinear.h"

namespace cairn::ucn {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Tensor coarse_features(const PreparedPhoto& p, const PhotoView& view, int64_t cells) {
  const Tensor& dense = view.features.dense;
  if (!dense.defined()) return {};
  const auto h = double(p.photo.pixels.dim(0)), w = double(p.photo.pixels.dim(1));
  const double side = std::max(h, w) / double(cells);
  const int64_t rows = std::max<int64_t>(1, std::llround(h / side)),
                columns = std::max<int64_t>(1, std::llround(w / side)), n = rows * columns;
  const Homography to_view = inverse(view.to_photo);
  Tensor at = Tensor::empty({n, 2}, DType::f32);
  std::vector<bool> seen;
  for (int64_t k = 0; k < n; ++k) {
    const auto centre = [](int64_t cell, int64_t count, double extent) {
      return std::clamp((double(cell) + 0.5) * extent / double(count) - 0.5, 0.0, extent - 1);
    };
    const Point q = apply(to_view, centre(k % columns, columns, w), centre(k / columns, rows, h));
    seen.push_back(q[0] >= 0 && q[1] >= 0 && q[0] <= double(dense.dim(1) - 1) &&
                   q[1] <= double(dense.dim(0) - 1));
    for (size_t i = 0; i < 2; ++i)
      at.data<float>()[2 * size_t(k) + i] = seen.back() ? float(q[i]) : 0;
  }
  Tensor values = kernels::bilinear_sample(dense, at.to(dense.device())).to(Device::cpu);
  Eigen::Map<Rows> features(values.data<float>(), n, dense.dim(2));
  for (int64_t k = 0; k < n; ++k) {
    const float norm = features.row(k).norm();
    features.row(k) *= seen[size_t(k)] && norm > 0 ? 1 / norm : 0;
  }
  return values.reshape({rows, columns, dense.dim(2)});
}

std::vector<FeatureGrid> feature_grids(std::span<const Tensor> coarse, int64_t channels) {
  const auto rows_of = [](const Tensor& t) {
    return Eigen::Map<const Rows>(t.data<float>(), t.dim(0) * t.dim(1), t.dim(2));
  };
  // About the origin, not the mean: cosines are to stay what they are.
  Eigen::MatrixXf moments;
  for (const Tensor& t : coarse) {
    if (!t.defined()) continue;
    if (moments.size() == 0) moments.setZero(t.dim(2), t.dim(2));
    moments += rows_of(t).transpose() * rows_of(t);
  }
  std::vector<FeatureGrid> grids(coarse.size());
  if (moments.size() == 0) return grids;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXf> solver(moments);
  channels = std::min<int64_t>(channels, moments.rows());
  const Eigen::MatrixXf main = solver.eigenvectors().rightCols(channels);
  for (size_t i = 0; i < grids.size(); ++i) {
    if (!coarse[i].defined()) continue;
    FeatureGrid& g = grids[i] = {coarse[i].dim(0), coarse[i].dim(1), channels, {}};
    const Rows reduced = rows_of(coarse[i]) * main;
    for (int64_t k = 0; k < reduced.rows(); ++k) {
      const float norm = reduced.row(k).norm();
      for (int64_t c = 0; c < channels; ++c)
        g.values.push_back(norm > 0 ? int8_t(std::lround(127 * reduced(k, c) / norm)) : 0);
    }
  }
  return grids;
}

}  // namespace cairn::ucn

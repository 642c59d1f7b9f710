// The plainest sum: each element is added where its index, without the summed axes, points.
#include "tensor/kernels/reduce/axes.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn::kernels::reference {

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keep) {
  const auto summed = summed_axes(x.shape(), axes);
  std::vector<double> total(size_t(reduced_shape(x.shape(), summed, true).numel()));
  const std::vector<double> values = x.to_vector();
  for (int64_t i = 0; i < x.numel(); ++i) {
    int64_t rest = i, at = 0, step = 1;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      const int64_t here = rest % x.dim(axis);
      rest /= x.dim(axis);
      if (summed[size_t(axis)]) continue;
      at += here * step;
      step *= x.dim(axis);
    }
    total[size_t(at)] += values[size_t(i)];
  }
  return Tensor::from(reduced_shape(x.shape(), summed, keep), total).to(x.dtype());
}

}  // namespace cairn::kernels::reference

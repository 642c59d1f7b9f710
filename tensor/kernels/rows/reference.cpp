// The plainest loops over rows.
#include "tensor/kernels/rows/rows.h"

namespace cairn::kernels::reference {

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  const int64_t k = index.numel(), c = x.dim(1);
  Tensor y = Tensor::empty({k, c}, x.dtype());
  dispatch_all(x.dtype(), [&]<class T>() {
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < c; ++j)
        y.data<T>()[i * c + j] = x.data<T>()[index.data<int64_t>()[i] * c + j];
  });
  return y;
}

Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows) {
  const int64_t k = index.numel(), c = dy.dim(1);
  Tensor dx = Tensor::zeros({rows, c}, dy.dtype());
  dispatch_float(dy.dtype(), "scatter_add_rows", [&]<class T>() {
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < c; ++j)
        dx.data<T>()[index.data<int64_t>()[i] * c + j] += dy.data<T>()[i * c + j];
  });
  return dx;
}

Tensor row_distance2(const Tensor& a, const Tensor& b) {
  const int64_t k = a.dim(0), c = a.dim(1);
  Tensor d = Tensor::zeros({k}, a.dtype());
  dispatch_float(a.dtype(), "row_distance2", [&]<class T>() {
    for (int64_t i = 0; i < k * c; ++i) {
      const T off = a.data<T>()[i] - b.data<T>()[i];
      d.data<T>()[i / c] += off * off;
    }
  });
  return d;
}

Tensor row_distance2_backward(const Tensor& a, const Tensor& b, const Tensor& dd) {
  const int64_t c = a.dim(1);
  Tensor da = Tensor::empty(a.shape(), a.dtype());
  dispatch_float(a.dtype(), "row_distance2_backward", [&]<class T>() {
    for (int64_t i = 0; i < a.numel(); ++i)
      da.data<T>()[i] = 2 * (a.data<T>()[i] - b.data<T>()[i]) * dd.data<T>()[i / c];
  });
  return da;
}

Tensor nearest_listed(const Tensor& queries, const Tensor& database, const Tensor& lists) {
  const int64_t q = queries.dim(0), k = lists.dim(1);
  Tensor best = Tensor::full({q}, -1, DType::i64);
  std::vector<double> least(static_cast<size_t>(q));
  for (int64_t j = 0; j < k; ++j)
    for (int64_t i = 0; i < q; ++i) {
      const int64_t row = lists.data<int64_t>()[i * k + j];
      int64_t& now = best.data<int64_t>()[i];
      if (row < 0) continue;
      const auto one = [](const Tensor& x, int64_t r) {
        return kernels::gather_rows(x, Tensor::from({1}, std::vector<int64_t>{r}));
      };
      const double d = row_distance2(one(queries, i), one(database, row)).item();
      if (now < 0 || d < least[size_t(i)]) now = row, least[size_t(i)] = d;
    }
  return best;
}

}  // namespace cairn::kernels::reference

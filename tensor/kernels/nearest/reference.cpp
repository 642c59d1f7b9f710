// The plainest search: every distance, summed in double.
#include <limits>

#include "tensor/kernels/nearest/nearest.h"

namespace cairn::kernels::reference {

Nearest nearest(const Tensor& queries, const Tensor& database) {
  const int64_t q = queries.dim(0), n = database.dim(0), c = queries.dim(1);
  Nearest found{Tensor::empty({q}, DType::i64), Tensor::empty({q}, queries.dtype()),
                Tensor::empty({q}, queries.dtype())};
  dispatch_float(queries.dtype(), "nearest", [&]<class T>() {
    const T *pa = queries.data<T>(), *pb = database.data<T>();
    for (int64_t i = 0; i < q; ++i) {
      double best = std::numeric_limits<double>::infinity(), second = best, first_row = best;
      int64_t index = -1;
      for (int64_t k = 0; k < n; ++k) {
        double d = 0;
        for (int64_t j = 0; j < c; ++j) {
          const double off = double(pa[i * c + j]) - double(pb[k * c + j]);
          d += off * off;
        }
        if (k == 0) first_row = d;
        if (d < best)
          second = best, best = d, index = k;
        else if (d < second)
          second = d;
      }
      if (index < 0 && n > 0) index = 0, best = first_row;  // all are NaN or infinite
      found.index.data<int64_t>()[i] = index;
      found.distance.data<T>()[i] = T(best);
      found.second.data<T>()[i] = T(second);
    }
  });
  return found;
}

}  // namespace cairn::kernels::reference

// Rows for the CPU. Scattering first groups the items by row, so that threads own rows and repeated
// indices add in their own order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/rows/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>
#include <cstring>
#include <limits>

#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/rows/group.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/parallel.h"

#ifndef CAIRN_ROWS_TABLE
#define CAIRN_ROWS_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  void (*add)(int64_t c, const T* x, T* y);  ///< y += x
  T (*distance2)(int64_t c, const T* a, const T* b);
  void (*distance2_backward)(int64_t c, const T* a, const T* b, T dd, T* da);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void add(int64_t c, const T* x, T* y) {
  for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  });
}

template <class T>
T distance2(int64_t c, const T* a, const T* b) {
  return sum_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
    const auto off = hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
    return hn::Mul(off, off);
  });
}

template <class T>
void distance2_backward(int64_t c, const T* a, const T* b, T dd, T* da) {
  for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
    const auto off = hn::Sub(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
    hn::StoreU(hn::Mul(off, hn::Set(d, 2 * dd)), d, da + i);
  });
}

template <class T>
Table<T> make_table() {
  return {add<T>, distance2<T>, distance2_backward<T>};
}
Table<float> table_f32() { return make_table<float>(); }
Table<double> table_f64() { return make_table<double>(); }

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
namespace {

CAIRN_EXPORT_TABLE(Table)

int64_t row_grain(int64_t c) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(c, 1)); }

void require_matrix(const char* op, const Tensor& x) {
  require(x.rank() == 2, ErrorId::shape, op, "rows are those of a matrix, not of ", x.shape());
}

void require_rows(const char* op, const Tensor& x, const Tensor& index, int64_t rows) {
  require(index.dtype() == DType::i64, ErrorId::dtype, op, "the index is ", index.dtype(),
          ", not i64");
  require_same_device(op, x, index);
  if (index.on_gpu()) return;  // looking at its values would wait for all work before
  const auto values = index.span<int64_t>();
  for (size_t k = 0; k < values.size(); ++k)
    require(values[k] >= 0 && values[k] < rows, ErrorId::index, op, "index[", k, "] is ", values[k],
            ", but there are ", rows, " rows");
}

}  // namespace

Tensor gather_rows(const Tensor& x, const Tensor& index) {
  require_matrix("gather_rows", x);
  require_rows("gather_rows", x, index, x.dim(0));
  if (x.on_gpu()) return cuda::gather_rows(x, index);
  Tensor y = Tensor::empty({index.numel(), x.dim(1)}, x.dtype());
  const size_t bytes = size_t(x.dim(1) * item_size(x.dtype()));
  const auto* from = static_cast<const char*>(x.raw());
  auto* to = static_cast<char*>(y.raw());
  const int64_t* row = index.data<int64_t>();
  parallel_for(index.numel(), row_grain(x.dim(1)), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      std::memcpy(to + size_t(k) * bytes, from + size_t(row[k]) * bytes, bytes);
  });
  return y;
}

Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows) {
  require_matrix("scatter_add_rows", dy);
  require(rows >= 0, ErrorId::argument, "scatter_add_rows", rows, " rows were asked for");
  require_rows("scatter_add_rows", dy, index, rows);
  require(index.numel() == dy.dim(0), ErrorId::shape, "scatter_add_rows", index.numel(),
          " indices for ", dy.dim(0), " rows");
  if (dy.on_gpu()) return cuda::scatter_add_rows(dy, index, rows);
  const int64_t c = dy.dim(1);
  Tensor dx = Tensor::empty({rows, c}, dy.dtype());
  dispatch_float(dy.dtype(), "scatter_add_rows", [&]<class T>() {
    const RowGroups groups = group_by_row(index.span<int64_t>(), rows);
    const T* from = dy.data<T>();
    T* to = dx.data<T>();
    const auto add = table<T>().add;
    parallel_for(rows, row_grain(c), [&](int64_t begin, int64_t end) {
      std::fill_n(to + begin * c, (end - begin) * c, T(0));
      for (int64_t r = begin; r < end; ++r)
        for (int64_t i = groups.start[size_t(r)]; i < groups.start[size_t(r) + 1]; ++i)
          add(c, from + groups.order[size_t(i)] * c, to + r * c);
    });
  });
  return dx;
}

Tensor row_distance2(const Tensor& a, const Tensor& b) {
  require_matrix("row_distance2", a);
  require_same_dtype("row_distance2", a, b);
  require_same_shape("row_distance2", a, b);
  if (a.on_gpu()) return cuda::row_distance2(a, b);
  const int64_t k = a.dim(0), c = a.dim(1);
  Tensor d = Tensor::empty({k}, a.dtype());
  dispatch_float(a.dtype(), "row_distance2", [&]<class T>() {
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* pd = d.data<T>();
    const auto kernel = table<T>().distance2;
    parallel_for(k, row_grain(c), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) pd[i] = kernel(c, pa + i * c, pb + i * c);
    });
  });
  return d;
}

Tensor row_distance2_backward(const Tensor& a, const Tensor& b, const Tensor& dd) {
  const char* op = "row_distance2_backward";
  require_matrix(op, a);
  require_same_dtype(op, a, b);
  require_same_shape(op, a, b);
  require_same_dtype(op, a, dd);
  require(dd.numel() == a.dim(0), ErrorId::shape, op, "dd is ", dd.shape(), " for ", a.dim(0),
          " rows");
  if (a.on_gpu()) return cuda::row_distance2_backward(a, b, dd);
  const int64_t c = a.dim(1);
  Tensor da = Tensor::empty(a.shape(), a.dtype());
  dispatch_float(a.dtype(), op, [&]<class T>() {
    const T *pa = a.data<T>(), *pb = b.data<T>(), *pd = dd.data<T>();
    T* to = da.data<T>();
    const auto kernel = table<T>().distance2_backward;
    parallel_for(a.dim(0), row_grain(c), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) kernel(c, pa + i * c, pb + i * c, pd[i], to + i * c);
    });
  });
  return da;
}

Tensor nearest_listed(const Tensor& queries, const Tensor& database, const Tensor& lists) {
  const char* op = "nearest_listed";
  require_matrix(op, queries);
  require_matrix(op, database);
  require_matrix(op, lists);
  require_same_dtype(op, queries, database);
  require(!queries.on_gpu() && !database.on_gpu() && !lists.on_gpu(), ErrorId::device, op,
          "it runs on the CPU only");
  const int64_t q = queries.dim(0), c = queries.dim(1), k = lists.dim(1), n = database.dim(0);
  require(lists.dim(0) == q && database.dim(1) == c, ErrorId::shape, op, "queries are ",
          queries.shape(), ", the database ", database.shape(), ", the lists ", lists.shape());
  require(lists.dtype() == DType::i64, ErrorId::dtype, op, "the lists are ", lists.dtype(),
          ", not i64");
  for (int64_t row : lists.span<int64_t>())
    require(row >= -1 && row < n, ErrorId::index, op, "row ", row, " is listed, but there are ", n);
  Tensor best = Tensor::full({q}, -1, DType::i64);
  dispatch_float(queries.dtype(), op, [&]<class T>() {
    const auto distance2 = table<T>().distance2;
    const T *pq = queries.data<T>(), *pd = database.data<T>();
    const int64_t* list = lists.data<int64_t>();
    int64_t* to = best.data<int64_t>();
    parallel_for(q, row_grain(c * k), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T least = std::numeric_limits<T>::infinity();
        for (int64_t j = i * k; j < (i + 1) * k; ++j) {
          if (list[j] < 0) continue;
          const T d = distance2(c, pq + i * c, pd + list[j] * c);
          if (to[i] < 0 || d < least) to[i] = list[j], least = d;
        }
      }
    });
  });
  return best;
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

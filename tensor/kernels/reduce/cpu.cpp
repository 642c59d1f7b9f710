// Sums for the CPU: neighbouring axes of one kind are merged, then each summed group is one pass
// over outer x middle x inner. Chunks of the middle are added in double, and in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/reduce/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/layout/blocks.h"
#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/reduce/axes.h"
#include "tensor/kernels/reduce/passes.h"
#include "tensor/kernels/reduce/reduce.h"
#include "tensor/parallel.h"

#ifndef CAIRN_REDUCE_TABLE
#define CAIRN_REDUCE_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  double (*total)(int64_t n, const T* x);
  double (*total_of_squares)(int64_t n, const T* x);
  /// sums[c] += the sum over `rows` of x[row * stride + c], c < n.
  void (*columns)(int64_t rows, int64_t n, int64_t stride, const T* x, double* sums);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

/// As many elements as d has lanes, as doubles.
template <class D>
HWY_INLINE auto load_double(D d, const double* x) {
  return hn::LoadU(d, x);
}
template <class D>
HWY_INLINE auto load_double(D d, const float* x) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), x));
}

template <class T>
double total(int64_t n, const T* x) {
  return sum_lanes<double>(n, [&](auto d, int64_t i) HWY_ATTR { return load_double(d, x + i); });
}

template <class T>
double total_of_squares(int64_t n, const T* x) {
  return sum_lanes<double>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto v = load_double(d, x + i);
    return hn::Mul(v, v);
  });
}

template <class T>
void columns(int64_t rows, int64_t n, int64_t stride, const T* x, double* sums) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * stride) {
    for_lanes<double>(n, [&](auto d, int64_t c) HWY_ATTR {
      const auto a = hn::Add(load_double(d, x + c), load_double(d, x + stride + c));
      const auto b =
          hn::Add(load_double(d, x + 2 * stride + c), load_double(d, x + 3 * stride + c));
      hn::StoreU(hn::Add(hn::LoadU(d, sums + c), hn::Add(a, b)), d, sums + c);
    });
  }
  for (; row < rows; ++row, x += stride) {
    for_lanes<double>(n, [&](auto d, int64_t c) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, sums + c), load_double(d, x + c)), d, sums + c);
    });
  }
}

template <class T>
Table<T> make_table() {
  return {total<T>, total_of_squares<T>, columns<T>};
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

constexpr int64_t grain = 32768;       // elements of a chunk
constexpr int64_t tile_columns = 512;  // their sums stay in the first-level cache

/// y[o, i] = the sum over m of x[o, m, i], flat.
template <class T>
Tensor sum_middle(const T* x, int64_t outer, int64_t middle, int64_t inner) {
  Tensor y = Tensor::zeros({outer * inner}, DType::f64);
  if (y.numel() == 0 || middle == 0) return y;
  const int64_t tile = std::min(inner, tile_columns);
  const int64_t rows = std::max<int64_t>(64, grain / tile);
  const int64_t chunks = num_chunks(middle, rows), tiles = num_chunks(inner, tile);
  std::vector<double> parts(size_t(outer * chunks * inner));
  const Table<T> kernels = table<T>();
  const int64_t unit = std::min(middle, rows) * tile;
  parallel_for(outer * chunks * tiles, std::max<int64_t>(1, grain / unit),
               [&](int64_t begin, int64_t end) {
                 for (int64_t u = begin; u < end; ++u) {
                   const int64_t o = u / (chunks * tiles), chunk = u / tiles % chunks,
                                 first = u % tiles * tile;
                   const int64_t m = chunk * rows, count = std::min(rows, middle - m);
                   const T* from = x + (o * middle + m) * inner + first;
                   double* to = parts.data() + (o * chunks + chunk) * inner + first;
                   if (inner == 1)
                     *to = kernels.total(count, from);
                   else
                     kernels.columns(count, std::min(tile, inner - first), inner, from, to);
                 }
               });
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      for (int64_t i = 0; i < inner; ++i)
        y.data<double>()[o * inner + i] += parts[size_t((o * chunks + chunk) * inner + i)];
  return y;
}

/// Extents of alternating kind, outermost first.
struct Group {
  int64_t extent;
  bool summed;
};

std::vector<Group> merged_groups(const Shape& shape, const AxisSet& summed) {
  std::vector<Group> groups;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const bool s = summed[size_t(axis)];
    if (shape[axis] == 1) continue;
    if (!groups.empty() && groups.back().summed == s)
      groups.back().extent *= shape[axis];
    else
      groups.push_back({shape[axis], s});
  }
  return groups;
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keep) {
  const AxisSet summed = summed_axes(x.shape(), axes);
  const Shape shape = reduced_shape(x.shape(), summed, keep);
  const std::vector<Group> groups = merged_groups(x.shape(), summed);
  Tensor sums = x;  // after the first pass in double
  bool any = false;
  for (size_t g = groups.size(); g-- > 0;) {  // the innermost first
    if (!groups[g].summed) continue;
    int64_t outer = 1, inner = 1;
    for (size_t i = 0; i < g; ++i) outer *= groups[i].extent;
    for (size_t i = g + 1; i < groups.size(); ++i)
      if (!groups[i].summed) inner *= groups[i].extent;
    if (x.on_gpu())
      sums = cuda::sum_middle(sums, outer, groups[g].extent, inner);
    else
      dispatch_float(sums.dtype(), "sum", [&]<class T>() {
        sums = sum_middle(sums.data<T>(), outer, groups[g].extent, inner);
      });
    any = true;
  }
  const DType type = compute_dtype(x.dtype());
  return any ? sums.to(type).reshape(shape) : x.to(type).reshape(shape);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  require(shape.rank() <= x.rank(), ErrorId::shape, "sum_to", x.shape(), " is no stretched ",
          shape);
  std::vector<int> axes;
  const int extra = x.rank() - shape.rank();
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int64_t want = axis < extra ? 1 : shape[axis - extra];
    require(axis < extra || want == 1 || want == x.dim(axis), ErrorId::shape, "sum_to", x.shape(),
            " is no stretched ", shape);
    if (axis < extra || want != x.dim(axis)) axes.push_back(axis);
  }
  return axes.empty() ? x.reshape(shape) : sum(x, axes).reshape(shape);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  require(broadcast_shape("broadcast_to", x.shape(), shape) == shape, ErrorId::shape,
          "broadcast_to", x.shape(), " does not stretch to ", shape);
  if (x.shape() == shape) return x;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  if (y.on_gpu()) {
    std::vector<int64_t> step(size_t(shape.rank()), 0);
    int64_t size = 1;
    for (int axis = 1; axis <= x.rank(); ++axis) {
      if (x.dim(-axis) != 1) step[step.size() - size_t(axis)] = size;
      size *= x.dim(-axis);
    }
    cuda::gather_strided(x, y, step);
    return y;
  }
  dispatch_all(x.dtype(), [&]<class T>() {
    // Rows along the last axis; the element each starts from is found from its outer index.
    const int64_t n = shape[-1];
    const bool repeat = x.rank() == 0 || x.dim(-1) == 1;
    const T* px = x.data<T>();
    T* py = y.data<T>();
    parallel_for(y.numel() / n, std::max<int64_t>(1, grain / n), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t at = 0, rest = row, step = repeat ? 1 : n;
        for (int axis = 2; axis <= x.rank(); ++axis) {
          if (x.dim(-axis) != 1) at += rest % shape[-axis] * step;
          step *= x.dim(-axis);
          rest /= shape[-axis];
        }
        if (repeat)
          std::fill_n(py + row * n, n, px[at]);
        else
          std::copy_n(px + at, n, py + row * n);
      }
    });
  });
  return y;
}

Tensor square_sum(std::span<const Tensor> tensors) {
  if (tensors.empty()) return Tensor::scalar(0, DType::f64);
  for (const Tensor& t : tensors) require_same_dtype("norm", tensors[0], t);
  if (tensors[0].on_gpu()) return cuda::square_sum(tensors);
  double total = 0;
  for (const Tensor& x : tensors)
    dispatch_float(x.dtype(), "norm", [&]<class T>() {
      const T* px = x.data<T>();
      const auto kernel = table<T>().total_of_squares;
      std::vector<double> parts(size_t(num_chunks(x.numel(), grain)));
      parallel_for(x.numel(), grain, [&](int64_t begin, int64_t end) {
        parts[size_t(begin / grain)] = kernel(end - begin, px + begin);
      });
      for (double part : parts) total += part;
    });
  return Tensor::scalar(total, DType::f64);
}

double norm(const Tensor& x) { return std::sqrt(square_sum({&x, 1}).item()); }

}  // namespace cairn::kernels
#endif  // HWY_ONCE

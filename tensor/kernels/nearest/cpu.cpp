// Nearest neighbours for the CPU. |a - b|^2 = |a|^2 - 2 (ab - |b|^2 / 2), so the nearest row has
// the greatest score ab - |b|^2 / 2: a matrix product whose accumulators start at -|b|^2 / 2. The
// database goes through in slabs that fit the second-level cache, packed into panels of columns; a
// block of queries meets all panels of a slab. A score above the query's threshold enters its short
// list; the threshold is the second best score less what rounding may have hidden. The short list
// is then judged by exact distances.
//
// The other direction reads the same scores down the columns: for each row of the database and each
// group of queries only the best score ab - |a|^2 / 2 is kept. Groups whose best lies within
// rounding of the best of all are then searched by exact distances.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/nearest/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/nearest/codes.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/nearest/short_list.h"
#include "tensor/parallel.h"

#ifndef CAIRN_NEAREST_TABLE
#define CAIRN_NEAREST_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  int64_t panel_rows, block_queries;
  /// Packs `rows` <= panel_rows rows of x into panel[c][panel_rows] and start[panel_rows], which is
  /// -|row|^2 / 2; absent rows are zeros that start from minus infinity.
  void (*pack)(int64_t rows, int64_t c, const T* x, const T* squares, T* panel, T* start);
  /// Offers the rows of one panel, whose first is `row`, to `count` queries packed as [c][block].
  /// If `column` is not null, raises its panel_rows values to the best of score -
  /// half_square[query].
  void (*scan)(int64_t c, const T* block, const T* panel, const T* start, int64_t row,
               int64_t count, ShortList<T>* lists, const T* half_square, T* column);
  T (*square)(int64_t c, const T* x);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

// The accumulators fill the registers: 8 x 3 of 32, or 4 x 3 of 16.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3 || \
    HWY_TARGET == HWY_SCALAR
constexpr int queries_at_once = 4;
#else
constexpr int queries_at_once = 8;
#endif

template <class T>
void pack(int64_t rows, int64_t c, const T* x, const T* squares, T* panel, T* start) {
  const int64_t width = 3 * int64_t(hn::Lanes(hn::ScalableTag<T>()));
  for (int64_t r = 0; r < width; ++r) {
    start[r] = r < rows ? T(-0.5) * squares[r] : -std::numeric_limits<T>::infinity();
    for (int64_t j = 0; j < c; ++j) panel[j * width + r] = r < rows ? x[r * c + j] : T(0);
  }
}

template <class T>
void scan(int64_t c, const T* block, const T* panel, const T* start, int64_t row, int64_t count,
          ShortList<T>* lists, const T* half_square, T* column) {
  const hn::ScalableTag<T> d;
  using V = hn::VFromD<decltype(d)>;
  const int64_t lanes = int64_t(hn::Lanes(d));
  V s0[queries_at_once], s1[queries_at_once], s2[queries_at_once];
  HWY_UNROLL(8)
  for (int i = 0; i < queries_at_once; ++i) {
    s0[i] = hn::LoadU(d, start);
    s1[i] = hn::LoadU(d, start + lanes);
    s2[i] = hn::LoadU(d, start + 2 * lanes);
  }
  for (int64_t j = 0; j < c; ++j, panel += 3 * lanes, block += queries_at_once) {
    const V b0 = hn::LoadU(d, panel), b1 = hn::LoadU(d, panel + lanes);
    const V b2 = hn::LoadU(d, panel + 2 * lanes);
    HWY_UNROLL(8)
    for (int i = 0; i < queries_at_once; ++i) {
      const V a = hn::Set(d, block[i]);
      s0[i] = hn::MulAdd(a, b0, s0[i]);
      s1[i] = hn::MulAdd(a, b1, s1[i]);
      s2[i] = hn::MulAdd(a, b2, s2[i]);
    }
  }
  if (column) {
    V best0 = hn::LoadU(d, column), best1 = hn::LoadU(d, column + lanes);
    V best2 = hn::LoadU(d, column + 2 * lanes);
    HWY_UNROLL(8)
    for (int i = 0; i < queries_at_once; ++i) {
      if (i >= count) break;
      const V half = hn::Set(d, half_square[i]);
      const V v0 = hn::Sub(s0[i], half), v1 = hn::Sub(s1[i], half), v2 = hn::Sub(s2[i], half);
      best0 = hn::IfThenElse(hn::Gt(v0, best0), v0, best0);  // which no NaN passes
      best1 = hn::IfThenElse(hn::Gt(v1, best1), v1, best1);
      best2 = hn::IfThenElse(hn::Gt(v2, best2), v2, best2);
    }
    hn::StoreU(best0, d, column);
    hn::StoreU(best1, d, column + lanes);
    hn::StoreU(best2, d, column + 2 * lanes);
  }
  HWY_UNROLL(8)
  for (int i = 0; i < queries_at_once; ++i) {
    if (i >= count) break;
    const V limit = hn::Set(d, lists[i].threshold);
    const auto any =
        hn::Or(hn::Or(hn::Gt(s0[i], limit), hn::Gt(s1[i], limit)), hn::Gt(s2[i], limit));
    if (hn::AllFalse(d, any)) continue;
    HWY_ALIGN T score[3 * HWY_MAX_BYTES / sizeof(T)];
    hn::StoreU(s0[i], d, score);
    hn::StoreU(s1[i], d, score + lanes);
    hn::StoreU(s2[i], d, score + 2 * lanes);
    for (int64_t r = 0; r < 3 * lanes; ++r)
      if (score[r] > lists[i].threshold) lists[i].insert(score[r], row + r);
  }
}

template <class T>
T square(int64_t c, const T* x) {
  return sum_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::LoadU(d, x + i);
    return hn::Mul(v, v);
  });
}

template <class T>
Table<T> make_table() {
  return {3 * int64_t(hn::Lanes(hn::ScalableTag<T>())), queries_at_once, pack<T>, scan<T>,
          square<T>};
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

template <class T>
std::vector<T> squared_norms(const Table<T>& kernels, const T* x, int64_t rows, int64_t c) {
  std::vector<T> squares(static_cast<size_t>(rows));
  parallel_for(rows, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) squares[size_t(r)] = kernels.square(c, x + r * c);
  });
  return squares;
}

template <class T>
double exact_distance(const T* a, const T* b, int64_t c) {
  double sum = 0;
  for (int64_t j = 0; j < c; ++j) {
    const double off = double(a[j]) - double(b[j]);
    sum += off * off;
  }
  return sum;
}

/// Twice the rounding error that a score of a row of this squared norm may have.
template <class T>
T margin_of(T square, T longest_square, int64_t c) {
  const T size = std::sqrt(square * longest_square) + longest_square;
  return T(c + 2) * std::numeric_limits<T>::epsilon() * size;
}

/// Judges the short list by exact distances; fills the query's three results.
template <class T>
void judge(const ShortList<T>& list, const T* query, const T* database, int64_t c, int64_t& index,
           T& distance, T& second) {
  const auto exact = [&](int64_t row) { return exact_distance(query, database + row * c, c); };
  double best = std::numeric_limits<double>::infinity(), next = best;
  index = -1;
  for (int i = 0; i < list.count; ++i) {
    if (i >= 2 && list.score[i] < list.score[1] - list.margin) break;
    const double d = exact(list.index[i]);
    if (d < best || (d == best && list.index[i] < index)) {
      next = best;
      best = d;
      index = list.index[i];
    } else if (d < next) {
      next = d;
    }
  }
  if (index < 0) {  // every distance is NaN or infinite
    index = 0;
    best = exact(0);
  }
  distance = T(best);
  second = T(next);
}

constexpr int64_t query_group = 128;  // whose best scores are kept together, going back
constexpr int most_groups = 4;        // that are searched for one row

/// The nearest query of one row of the database, from the best score of each group.
template <class T>
int64_t judge_column(const T* best_of_group, int64_t stride, int64_t groups, T margin, const T* row,
                     const T* queries, int64_t count, int64_t c) {
  // The best groups, among equals the first ones.
  T score[most_groups];
  int64_t group[most_groups];
  int found = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const T s = best_of_group[g * stride];
    if (found == most_groups && !(s > score[found - 1])) continue;
    int at = found < most_groups ? found++ : most_groups - 1;
    for (; at > 0 && score[at - 1] < s; --at) {
      score[at] = score[at - 1];
      group[at] = group[at - 1];
    }
    score[at] = s;
    group[at] = g;
  }
  double least = std::numeric_limits<double>::infinity();
  int64_t index = 0;  // if every distance is NaN or infinite
  for (int k = 0; k < found; ++k) {
    if (score[k] < score[0] - margin) break;  // not so if the margin is NaN
    for (int64_t i = group[k] * query_group; i < std::min(count, (group[k] + 1) * query_group);
         ++i) {
      const double d = exact_distance(row, queries + i * c, c);
      if (d < least || (d == least && i < index)) {
        least = d;
        index = i;
      }
    }
  }
  return index;
}

/// `back`: the other direction too, or null.
template <class T>
void search(const Tensor& queries, const Tensor& database, Nearest& found, int64_t* back) {
  const int64_t q = queries.dim(0), n = database.dim(0), c = queries.dim(1);
  const T *pa = queries.data<T>(), *pb = database.data<T>();
  const Table<T> kernels = table<T>();
  const int64_t width = kernels.panel_rows, block = kernels.block_queries;

  const std::vector<T> a2 = squared_norms(kernels, pa, q, c);
  const std::vector<T> b2 = squared_norms(kernels, pb, n, c);
  const T longest2 = largest(b2), longest_a2 = largest(a2);
  std::vector<ShortList<T>> lists(static_cast<size_t>(q));
  for (int64_t i = 0; i < q; ++i) lists[size_t(i)].margin = margin_of(a2[size_t(i)], longest2, c);

  int64_t searched = 0;
  if constexpr (std::is_same_v<T, float>)
    if (!back && can_search_by_codes(c)) searched = search_by_codes(pa, q, pb, n, c, a2, b2, lists);

  const int64_t blocks = num_chunks(q, block);
  std::vector<T> packed(static_cast<size_t>(blocks * block * c));
  parallel_for(blocks, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * block; i < std::min(q, end * block); ++i)
      for (int64_t j = 0; j < c; ++j)
        packed[size_t((i / block * c + j) * block + i % block)] = pa[i * c + j];
  });

  constexpr int64_t slab_bytes = 1 << 20;
  const int64_t panel_size = (c + 1) * width;  // the panel and its starting values
  const int64_t groups = back ? num_chunks(q, query_group) : 0;
  const int64_t
      panel_bytes =  // going back, a slab's scores of groups take at most 32 times as much
      std::max(panel_size, groups * width / 32) * int64_t(sizeof(T));
  const int64_t slab_panels =
      std::clamp<int64_t>(slab_bytes / panel_bytes, 1, num_chunks(n, width));
  std::vector<T> slab(static_cast<size_t>(slab_panels * panel_size));
  const int64_t slab_rows = slab_panels * width;
  std::vector<T> half_squares, columns(static_cast<size_t>(groups * slab_rows));  // group by row
  for (T square : a2)
    if (back) half_squares.push_back(square / 2);
  for (int64_t first = searched; first < n; first += slab_rows) {
    const int64_t panels = std::min(slab_panels, num_chunks(n - first, width));
    parallel_for(panels, std::max<int64_t>(1, 16384 / panel_size), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t row = first + p * width;
        T* to = slab.data() + p * panel_size;
        kernels.pack(std::min(width, n - row), c, pb + row * c, b2.data() + row, to + width, to);
      }
    });
    // 64 queries at a time: they, their lists and one panel share the first-level cache.
    parallel_for(blocks, (back ? query_group : 64) / block, [&](int64_t begin, int64_t end) {
      T* const column = back ? columns.data() + begin * block / query_group * slab_rows : nullptr;
      if (back) std::fill_n(column, slab_rows, -std::numeric_limits<T>::infinity());
      for (int64_t p = 0; p < panels; ++p) {
        const T* panel = slab.data() + p * panel_size;
        for (int64_t b = begin; b < end; ++b)
          kernels.scan(c, packed.data() + b * block * c, panel + width, panel, first + p * width,
                       std::min(block, q - b * block), lists.data() + b * block,
                       back ? half_squares.data() + b * block : nullptr,
                       back ? column + p * width : nullptr);
      }
    });
    const int64_t rows = back ? std::min(slab_rows, n - first) : 0;
    parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        back[first + r] = judge_column(columns.data() + r, slab_rows, groups,
                                       margin_of(b2[size_t(first + r)], longest_a2, c) +
                                           margin_of(T(0), b2[size_t(first + r)], c),
                                       pb + (first + r) * c, pa, q, c);
    });
  }

  int64_t* index = found.index.data<int64_t>();
  T *distance = found.distance.data<T>(), *second = found.second.data<T>();
  parallel_for(q, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      judge(lists[size_t(i)], pa + i * c, pb, c, index[i], distance[i], second[i]);
  });
}

}  // namespace

namespace {

/// `back` undefined: one direction alone.
Nearest find(const Tensor& queries, const Tensor& database, Tensor back) {
  require(queries.rank() == 2 && database.rank() == 2 && queries.dim(1) == database.dim(1),
          ErrorId::shape, "nearest", "the queries are ", queries.shape(), " and the database ",
          database.shape(), "; both must be matrices with equally long rows");
  require_same_dtype("nearest", queries, database);
  const int64_t q = queries.dim(0);
  if (queries.on_gpu() && q > 0 && database.dim(0) > 0) return cuda::nearest(queries, database);
  const auto full = [&](double value, DType type) {
    return Tensor::full({q}, value, type, queries.device());
  };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Nearest found{full(-1, DType::i64), full(infinity, queries.dtype()),
                full(infinity, queries.dtype())};
  dispatch_float(queries.dtype(), "nearest", [&]<class T>() {
    if (q > 0 && database.dim(0) > 0)
      search<T>(queries, database, found, back.defined() ? back.data<int64_t>() : nullptr);
  });
  return found;
}

}  // namespace

Nearest nearest(const Tensor& queries, const Tensor& database) {
  return find(queries, database, {});
}

NearestBoth nearest_both(const Tensor& queries, const Tensor& database) {
  const bool codes =
      queries.dtype() == DType::f32 && queries.rank() == 2 && can_search_by_codes(queries.dim(1));
  if (queries.on_gpu() || codes)  // two searches are faster there
    return {nearest(queries, database), nearest(database, queries).index};
  const Tensor back = Tensor::full({database.rank() == 2 ? database.dim(0) : 0}, -1, DType::i64);
  return {find(queries, database, back), back};
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

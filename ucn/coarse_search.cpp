#include "ucn/coarse_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "tensor/kernels/gemm/gemm.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/parallel.h"
#include "ucn/above.h"

namespace cairn::ucn {
namespace {

struct Grid {
  int64_t height, width;
  bool holds(int64_t x, int64_t y) const { return x >= 0 && x < width && y >= 0 && y < height; }
};

/// What is tried for a pixel: its match and the eight around it, and the matches of eight
/// neighbours, each moved back by as much as the neighbour is away.
constexpr std::pair<int, int> around[] = {{0, 0}, {-1, -1}, {0, -1}, {1, -1}, {-1, 0},
                                          {1, 0}, {-1, 1},  {0, 1},  {1, 1}};
constexpr std::pair<int, int> neighbours[] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1},
                                              {-2, 0}, {2, 0}, {0, -2}, {0, 2}};
constexpr int64_t tried = std::size(around) + std::size(neighbours);

Tensor candidates(const Tensor& best, Grid from, Grid to) {
  Tensor lists = Tensor::empty({best.numel(), tried}, DType::i64);
  const int64_t* match = best.data<int64_t>();
  parallel_for(best.numel(), 4096, [&](int64_t begin, int64_t end) {
    int64_t* list = lists.data<int64_t>() + begin * tried;
    const auto add = [&](int64_t x, int64_t y) {
      *list++ = to.holds(x, y) ? y * to.width + x : -1;
    };
    for (int64_t i = begin; i < end; ++i) {
      for (const auto& [dx, dy] : around) add(match[i] % to.width + dx, match[i] / to.width + dy);
      for (const auto& [dx, dy] : neighbours) {
        const int64_t x = i % from.width + dx, y = i / from.width + dy;
        if (from.holds(x, y)) {
          const int64_t other = match[y * from.width + x];
          add(other % to.width - dx, other / to.width - dy);
        } else {
          *list++ = -1;
        }
      }
    }
  });
  return lists;
}

/// Every stride-th of 0..extent-1, and so many more that none is further than half a stride away.
std::vector<int64_t> grid_axis(int64_t extent, int64_t stride) {
  std::vector<int64_t> axis;
  for (int64_t v = std::min(stride, extent) / 2; v < extent; v += stride) axis.push_back(v);
  if (!axis.empty() && extent - 1 - axis.back() > stride / 2) axis.push_back(extent - 1);
  return axis;
}

/// The pixels of the grid, as numbers of rows.
Tensor grid_rows(Grid image, int64_t stride) {
  std::vector<int64_t> rows;
  for (const int64_t y : grid_axis(image.height, stride))
    for (const int64_t x : grid_axis(image.width, stride)) rows.push_back(y * image.width + x);
  return Tensor::from({int64_t(rows.size())}, rows);
}

}  // namespace

Tensor nearest_coarse_to_fine(const Tensor& from, const Tensor& to, int64_t stride) {
  const char* op = "nearest_coarse_to_fine";
  require(from.rank() == 3 && to.rank() == 3, ErrorId::shape, op, "features are ", from.shape(),
          " and ", to.shape(), ", not H x W x C");
  require(stride >= 2, ErrorId::argument, op, "the stride is ", stride, ", but must be at least 2");
  const Grid here{from.dim(0), from.dim(1)}, there{to.dim(0), to.dim(1)};
  const Tensor queries = from.reshape({-1, from.dim(2)}), rows = to.reshape({-1, to.dim(2)});
  if (queries.dim(0) == 0 || rows.dim(0) == 0)
    return Tensor::full({queries.dim(0)}, -1, DType::i64);

  const Tensor grid = grid_rows(there, stride);
  const Tensor cell = kernels::nearest(queries, kernels::gather_rows(rows, grid)).index;
  Tensor best = kernels::gather_rows(grid.reshape({-1, 1}), cell).reshape({-1});

  // Until hardly any match changes.
  constexpr int most_rounds = 16;
  for (int round = 0; round < most_rounds; ++round) {
    const Tensor next = kernels::nearest_listed(queries, rows, candidates(best, here, there));
    int64_t changed = 0;
    for (int64_t i = 0; i < best.numel(); ++i)
      changed += next.data<int64_t>()[i] != best.data<int64_t>()[i];
    best = next;
    if (changed * 1000 < best.numel()) break;
  }
  return best;
}

Tensor nearest_by_cells(const Tensor& queries, const Tensor& to, int64_t stride, int64_t cells) {
  const char* op = "nearest_by_cells";
  require(queries.rank() == 2 && to.rank() == 3, ErrorId::shape, op, "rows are ", queries.shape(),
          " and features ", to.shape(), ", not Q x C and H x W x C");
  require(stride >= 2 && cells >= 1, ErrorId::argument, op, "the stride is ", stride, " and ",
          cells, " cells are kept, but there must be at least 2 and 1");
  const Grid there{to.dim(0), to.dim(1)};
  const int64_t n = queries.dim(0), reach = (stride + 1) / 2, side = 2 * reach + 1;
  if (n == 0 || there.height * there.width == 0) return Tensor::full({n}, -1, DType::i64);
  const Tensor rows = to.reshape({-1, to.dim(2)}), grid = grid_rows(there, stride);
  const Tensor coarse = kernels::gather_rows(rows, grid);
  const int64_t count = grid.numel(), kept = std::min(cells, count);
  Tensor lists = Tensor::full({n, kept * side * side}, -1, DType::i64);
  constexpr int64_t slab = 256;  // bounds the memory of the products
  for (int64_t begin = 0; begin < n; begin += slab) {
    const int64_t some = std::min(slab, n - begin);
    Tensor part = Tensor::empty({some}, DType::i64);
    std::iota(part.data<int64_t>(), part.data<int64_t>() + some, begin);
    const Tensor products =
        kernels::matmul(kernels::gather_rows(queries, part), coarse, false, true);
    parallel_for(some, 8, [&](int64_t first, int64_t last) {
      std::vector<std::pair<float, int64_t>> best;
      for (int64_t k = first; k < last; ++k) {
        const float* row = products.data<float>() + k * count;
        best.assign(size_t(kept), {-INFINITY, 0});  // ascending
        for_each_above(row, count, best[0].first, [&](int64_t r) {
          size_t at = 0;
          for (; at + 1 < best.size() && row[r] > best[at + 1].first; ++at) best[at] = best[at + 1];
          best[at] = {row[r], r};
        });
        int64_t* list = lists.data<int64_t>() + (begin + k) * kept * side * side;
        for (const auto& [product, r] : best) {
          const int64_t centre = grid.data<int64_t>()[r];
          for (int64_t i = 0; i < side; ++i)
            for (int64_t j = 0; j < side; ++j) {
              const int64_t x = centre % there.width + j - reach,
                            y = centre / there.width + i - reach;
              *list++ = there.holds(x, y) ? y * there.width + x : -1;
            }
        }
      }
    });
  }
  return kernels::nearest_listed(queries, rows, lists);
}

}  // namespace cairn::ucn

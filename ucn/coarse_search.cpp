#include "ucn/coarse_search.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/parallel.h"

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

  std::vector<int64_t> coarse;
  for (int64_t y = std::min(stride, there.height) / 2; y < there.height; y += stride)
    for (int64_t x = std::min(stride, there.width) / 2; x < there.width; x += stride)
      coarse.push_back(y * there.width + x);
  const Tensor grid = Tensor::from({int64_t(coarse.size())}, coarse);
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

}  // namespace cairn::ucn

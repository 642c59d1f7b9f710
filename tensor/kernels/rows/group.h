// Items grouped by the row they go to, so that each row can be written by one thread, in order.
#pragma once

#include <span>
#include <vector>

#include "tensor/error.h"

namespace cairn::kernels {

/// Row r receives the items order[start[r]] .. order[start[r + 1] - 1], in ascending order.
struct RowGroups {
  std::vector<int64_t> start, order;
};

/// A stable counting sort of `row` (values in [0, rows)).
inline RowGroups group_by_row(std::span<const int64_t> row, int64_t rows) {
  RowGroups g{std::vector<int64_t>(size_t(rows) + 1), std::vector<int64_t>(row.size())};
  for (int64_t r : row) ++g.start[size_t(r) + 1];
  for (size_t r = 0; r < size_t(rows); ++r) g.start[r + 1] += g.start[r];
  std::vector<int64_t> next = g.start;
  for (size_t k = 0; k < row.size(); ++k) g.order[size_t(next[size_t(row[k])]++)] = int64_t(k);
  return g;
}

}  // namespace cairn::kernels

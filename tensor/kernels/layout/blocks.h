// The GPU's side of moving elements: two kernels serve all of layout.h.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace cairn::kernels::cuda {

/// outer x rows pieces of `width` bytes; the strides count bytes.
struct BlockCopy {
  int64_t outer, rows, width;
  int64_t from_outer, from_row, to_outer, to_row;
};
void copy_block(const BlockCopy& copy, const Tensor& from, int64_t from_offset, Tensor& to,
                int64_t to_offset);

/// y[i, j, ...] = x[i step[0] + j step[1] + ...], any element type.
void gather_strided(const Tensor& x, Tensor& y, std::span<const int64_t> step);

}  // namespace cairn::kernels::cuda

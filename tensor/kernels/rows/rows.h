// Rows of a matrix: gathering them, adding into them, their squared distance.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// y[k] = x[index[k]]. x is N x C, index holds K i64 values in [0, N) (ErrorId::index otherwise).
Tensor gather_rows(const Tensor& x, const Tensor& index);
/// dx[index[k]] += dy[k] on zeros: N x C. Repeated indices add in the order of k, whatever the
/// thread count.
Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows);

/// d[k] = sum over c of (a[k,c] - b[k,c])^2; a, b are K x C, d has K elements. Summed directly, not
/// expanded, so that near-equal rows keep their digits.
Tensor row_distance2(const Tensor& a, const Tensor& b);
/// da = 2 (a - b) dd; db = -da.
Tensor row_distance2_backward(const Tensor& a, const Tensor& b, const Tensor& dd);

/// Of the rows of database (N x C) that are listed for each query (lists: Q x K, i64; -1: none) the
/// nearest to that query (queries: Q x C), by row_distance2; among equals the first listed. Q, i64;
/// -1 where nothing is listed. On the CPU.
Tensor nearest_listed(const Tensor& queries, const Tensor& database, const Tensor& lists);

// On the GPU; operands are checked by the functions above, but for the values of an index: a row
// that does not exist reads as NaN (0 in an integer type) and is not written.
namespace cuda {
Tensor gather_rows(const Tensor& x, const Tensor& index);
Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows);
Tensor row_distance2(const Tensor& a, const Tensor& b);
Tensor row_distance2_backward(const Tensor& a, const Tensor& b, const Tensor& dd);
}  // namespace cuda

namespace reference {
Tensor gather_rows(const Tensor& x, const Tensor& index);
Tensor scatter_add_rows(const Tensor& dy, const Tensor& index, int64_t rows);
Tensor row_distance2(const Tensor& a, const Tensor& b);
Tensor row_distance2_backward(const Tensor& a, const Tensor& b, const Tensor& dd);
Tensor nearest_listed(const Tensor& queries, const Tensor& database, const Tensor& lists);
}  // namespace reference

}  // namespace cairn::kernels

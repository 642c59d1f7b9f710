// Nearest neighbours by squared Euclidean distance, without ever storing a distance matrix.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

struct Nearest {
  Tensor index;     ///< Q, i64: the nearest database row; -1 if the database is empty
  Tensor distance;  ///< Q: its squared distance, re-evaluated exactly as sum (a-b)^2; else infinity
  Tensor second;    ///< Q: the squared distance of the next nearest row (infinity if there is none)
};

/// For each row of queries (Q x C) the nearest row of database (D x C), of one float type. Among
/// rows at equal distance the smallest index wins. Candidates come from a tiled product
/// |a|^2 + |b|^2 - 2ab with a running best; the winners are then re-evaluated exactly.
/// On a CPU with VNNI most rows are ruled out by 8-bit codes first, with the same results.
/// Equal bits at any thread count. Where more rows than a device keeps candidates (16 on the CPU,
/// two for each sixteenth of the rows on the GPU) lie within rounding of the nearest, one of them
/// is found.
Nearest nearest(const Tensor& queries, const Tensor& database);

/// Both directions, on a CPU without VNNI for the price of one: besides nearest(queries, database),
/// for each row of database the index of the nearest row of queries (D, i64; -1 if there is none).
/// Where rows within rounding of the nearest lie in more than four groups of 128 queries, one of
/// them is found.
struct NearestBoth {
  Nearest forward;
  Tensor back;
};
NearestBoth nearest_both(const Tensor& queries, const Tensor& database);

namespace cuda {
Nearest nearest(const Tensor& queries, const Tensor& database);
}

namespace reference {
Nearest nearest(const Tensor& queries, const Tensor& database);
}

}  // namespace cairn::kernels

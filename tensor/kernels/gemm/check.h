// What matmul and its reference ask of their operands.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

struct ProductExtents {
  int64_t m, n, k;
};
ProductExtents check_matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);

}  // namespace cairn::kernels

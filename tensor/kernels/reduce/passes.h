// The GPU's side of sums; reduce/cpu.cpp says what is summed.
#pragma once

#include <span>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/tensor.h"

namespace cairn::kernels::cuda {

/// y[o, i] = the sum over m of x[o, m, i], flat and in f64.
Tensor sum_middle(const Tensor& x, int64_t outer, int64_t middle, int64_t inner);
/// The sum of squares over all elements of at least one tensor, all of one type: a scalar, f64.
Tensor square_sum(std::span<const Tensor> tensors);

}  // namespace cairn::kernels::cuda

// Sums over axes, in a fixed order.
#pragma once

#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace cairn::kernels {

/// Sum over `axes` (negative ones count from the end; none given: all). The summed axes stay as
/// extent 1 if `keep`, else vanish. An empty sum is 0. Equal bits at any thread count.
/// Throws ErrorId::index for an axis that is absent or named twice.
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keep = false);

/// Undoes broadcasting: sums x over the axes along which `shape` was stretched to x's shape.
Tensor sum_to(const Tensor& x, const Shape& shape);

/// x repeated to `shape`, to which it must broadcast: the gradient of a sum.
Tensor broadcast_to(const Tensor& x, const Shape& shape);

/// The sum of squares over all elements of all tensors, which are of one type: a scalar in f64.
Tensor square_sum(std::span<const Tensor> tensors);
/// The L2 norm of all elements, accumulated in double.
double norm(const Tensor& x);

namespace reference {
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keep = false);
}

}  // namespace cairn::kernels

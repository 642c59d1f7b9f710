// Moving elements without changing them.
#pragma once

#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace cairn::kernels {

/// Joins tensors along their last axis; the other extents agree.
Tensor concat(std::span<const Tensor> parts);
/// The channels [begin, begin + count) of the last axis.
Tensor slice_channels(const Tensor& x, int64_t begin, int64_t count);
/// The top-left height x width of each image of N x H x W x C.
Tensor crop(const Tensor& x, int64_t height, int64_t width);
/// The reverse: N x h x w x C placed top-left in zeros of N x height x width x C.
Tensor uncrop(const Tensor& x, int64_t height, int64_t width);
/// Axes in another order: y's axis i is x's axis order[i]. Any element type.
Tensor permute(const Tensor& x, const std::vector<int>& order);

}  // namespace cairn::kernels

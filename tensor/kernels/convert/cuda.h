// Converting and filling on the GPU, for Tensor::to and Tensor::full.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels::cuda {

/// y = x in y's element type, to u8 rounded and clamped. Throws ErrorId::dtype for f16, which is a
/// format of files.
void convert(const Tensor& x, Tensor& y);
/// Every element of y = value, converted so.
void fill(double value, Tensor& y);

}  // namespace cairn::kernels::cuda

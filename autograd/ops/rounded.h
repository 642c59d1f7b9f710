// What convolutions share when images are bf16 and parameters f32.
#pragma once

#include "tensor/tensor.h"

namespace cairn {

/// An f32 parameter as the convolution of a bf16 image takes it; as it is for other images.
inline Tensor rounded(const Tensor& parameter, const Tensor& image) {
  return image.dtype() == DType::bf16 && parameter.dtype() == DType::f32 ? parameter.to(DType::bf16)
                                                                         : parameter;
}

}  // namespace cairn

// Matrix product.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

/// C = op(A) op(B), op(X) = X or its transpose; A and B are matrices of one float type.
/// Shapes: op(A) M x K, op(B) K x N, result M x N. K = 0 gives zeros.
/// Throws ErrorId::shape, ErrorId::dtype.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

namespace cuda {
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);
}

namespace reference {
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);
}

}  // namespace cairn::kernels

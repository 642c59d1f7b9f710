// Matrix products by cuBLASLt. In builds with real CUDA; elsewhere multiply() is always false.
#pragma once

#include <string>

#include "tensor/cuda/runtime.h"
#include "tensor/dtype.h"

namespace cairn::cuda {

/// "cuBLASLt 13.1.0", or why it cannot be used, on one line.
const std::string& cublaslt_status();

/// C = op(A) op(B) (+ bias, a value for each column), all row-major and of one type; op(A) is m x
/// k, op(B) k x n.
struct ProductProblem {
  DType type = DType::f32;  ///< f32, f64 or bf16
  Math math = Math::fp32;
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;  ///< whether what is stored is the transpose
  bool bias = false;
  bool sum_type = false;  ///< C is f32 also when A and B are bf16

  auto operator<=>(const ProductProblem&) const = default;
};

/// Starts the product on the library's stream, all pointers on the GPU and aligned to 16 bytes.
/// False, with nothing done, when cuBLASLt has no way to do it, is not there or is not to be used;
/// that is remembered. Throws ErrorId::device when it fails at work.
bool multiply(const ProductProblem& problem, void* c, const void* a, const void* b,
              const void* bias = nullptr);

}  // namespace cairn::cuda

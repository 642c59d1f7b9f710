// The cost of all negatives that are nearer than a margin (the contrastive loss), without a matrix.
//
// With d_ij = sqrt(||a_i - b_j||^2 + 2^-23) for rows of a (K x C) and b (M x C), a pair counts when
// d_ij < margin and its positions (K x 2, M x 2, f64) are more than `radius` apart:
//
//   y = mean over the pairs that count of (margin - d_ij)^2, 0 if there is none
//   w_ij = -2 (margin - d_ij) / d_ij / count where the pair counts, else 0
//   da_i = dy sum_j w_ij (a_i - b_j)     db_j = dy sum_i w_ij (b_j - a_i)
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

struct Margin {
  Tensor positions_a, positions_b;
  double radius, margin;
};

struct MarginMean {
  Tensor mean;   ///< scalar, of a's type
  Tensor count;  ///< scalar, f64: how many pairs count
};
MarginMean margin_mean(const Tensor& a, const Tensor& b, const Margin& margin);

struct MarginMeanGrads {
  Tensor da, db;
};
/// dy: a scalar; count: as margin_mean gave it.
MarginMeanGrads margin_mean_backward(const Tensor& dy, const Tensor& count, const Tensor& a,
                                     const Tensor& b, const Margin& margin);

// On the GPU; operands are checked by the functions above.
namespace cuda {
MarginMean margin_mean(const Tensor& a, const Tensor& b, const Margin& margin);
MarginMeanGrads margin_mean_backward(const Tensor& dy, const Tensor& count, const Tensor& a,
                                     const Tensor& b, const Margin& margin);
}  // namespace cuda

}  // namespace cairn::kernels

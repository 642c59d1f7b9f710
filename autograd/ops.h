// The differentiable operations. Each has one file in autograd/ops/ with its formula and gradient.
// All take f32 or f64; arguments of one call agree in type and device, but for constants (masks,
// indices, positions), which are copied to where the others are. On the GPU, those of the network
// (convolutions, norms, arithmetic, concat, crop) also take images in bf16; parameters and their
// gradients are f32 then. Errors are those of the kernels.
#pragma once

#include <utility>
#include <vector>

#include "autograd/var.h"
#include "tensor/kernels/conv2d/conv2d.h"

namespace cairn {

using kernels::Conv2dGeometry;

// Arithmetic; shapes broadcast by NumPy's rule, gradients are summed back.
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
inline Var operator+(const Var& a, const Var& b) { return add(a, b); }
inline Var operator-(const Var& a, const Var& b) { return sub(a, b); }
inline Var operator*(const Var& a, const Var& b) { return mul(a, b); }
inline Var operator/(const Var& a, const Var& b) { return div(a, b); }

// Element by element, any shape.
Var relu(const Var& x);    ///< max(x, 0)
Var sqrt(const Var& x);    ///< x >= 0; the gradient at 0 is infinite
Var square(const Var& x);  ///< x^2
Var scale(const Var& x, double factor, double offset = 0);  ///< factor x + offset
Var clamp(const Var& x, double lo, double hi);              ///< min(max(x, lo), hi)
/// max(margin - x, 0): the cost of a distance that should be larger than `margin`.
Var hinge(const Var& x, double margin);

/// Sum and mean over `axes` (none given: all), which vanish, or stay as extent 1 if `keep`.
Var sum(const Var& x, const std::vector<int>& axes = {}, bool keep = false);
Var mean(const Var& x, const std::vector<int>& axes = {}, bool keep = false);
/// Mean of x over the elements whose mask (u8, x's shape) is not 0; 0 when there is none. Scalar.
Var masked_mean(const Var& x, const Tensor& mask);

/// The same elements in another shape; one extent may be -1.
Var reshape(const Var& x, std::initializer_list<int64_t> dims);
Var reshape(const Var& x, const Shape& shape);
/// Joins along the last axis (the channels).
Var concat(const std::vector<Var>& parts);
/// The top-left height x width of N x H x W x C.
Var crop(const Var& x, int64_t height, int64_t width);

/// op(a) op(b) of matrices, op(x) = x or its transpose.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false);

/// Convolution of x (N x H x W x I) with w (O x KH x KW x I), plus bias (O) if defined.
Var conv2d(const Var& x, const Var& w, const Var& bias = {}, const Conv2dGeometry& g = {});
/// relu?(the same + residual?), in one pass; bias and residual may be undefined.
Var conv2d(const Var& x, const Var& w, const Var& bias, const Var& residual, bool relu,
           const Conv2dGeometry& g);
/// The data gradient of a convolution as an operation of its own: x (N x H x W x I) with w
/// (I x KH x KW x O) gives N x OH x OW x O, OH = (H - 1) stride - 2 padding + dilation (KH - 1)
/// + 1.
Var conv_transpose2d(const Var& x, const Var& w, const Conv2dGeometry& g = {});
/// relu?(the same + bias?), in one pass; bias (O) may be undefined.
Var conv_transpose2d(const Var& x, const Var& w, const Var& bias, bool relu,
                     const Conv2dGeometry& g);

/// Batch normalisation's settings and running statistics.
struct BatchNormState {
  Tensor running_mean, running_var;  ///< C; updated in place when training
  double momentum = 0.1, eps = 1e-5;
  bool training = true;
};
/// relu?(gamma (x - mean) / sqrt(var + eps) + beta + residual?) over all axes but the last; see
/// tensor/kernels/batch_norm. Training uses the batch's moments and updates the running ones with
/// the unbiased variance; evaluation uses the running ones. `residual` may be undefined.
Var batch_norm(const Var& x, const Var& gamma, const Var& beta, BatchNormState& state,
               const Var& residual = {}, bool relu = false);

/// x / (||x|| + eps) along the last axis.
Var l2_normalize(const Var& x, double eps = 1e-8);
/// Rows x[index[k]] of a matrix; index is i64.
Var gather_rows(const Var& x, const Tensor& index);
/// Squared distance of each row of a to the same row of b: K x C, K x C -> K.
Var row_distance2(const Var& a, const Var& b);
/// Mean of (margin - d)^2 over all pairs of a row of a (K x C) and one of b (M x C) whose feature
/// distance d = sqrt(||a_i - b_j||^2 + 2^-23) is below `margin` and whose positions (K x 2, M x
/// 2, f64) are more than `radius` apart; 0 if there is none. Scalar. No K x M matrix is stored.
Var margin_mean(const Var& a, const Var& b, const Tensor& positions_a, const Tensor& positions_b,
                double radius, double margin);
/// Values of x (H x W x C) at K positions (x, y), K x 2, clamped to the border: K x C. The
/// positions are constants.
Var bilinear_sample(const Var& x, const Tensor& positions);

/// f(x), for which the tape keeps x alone and runs f once more in backward(): memory for time. f
/// must give the same each time. Where x needs no gradient, `parameter` is any value that f uses
/// and that does.
Var recomputed(std::function<Var(const Var&)> f, const Var& x, const Var& parameter = {});

/// Over the last axis.
Var softmax(const Var& x);
Var log_softmax(const Var& x);

}  // namespace cairn

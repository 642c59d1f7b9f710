// Batch normalisation over all axes but the last, with the residual and the ReLU that follow it
// (Ioffe and Szegedy, 2015).
//
//   z = gamma (x - mean) invstd + beta,   y = relu?(z + residual?)
//
// x, residual, y are M x C (any leading axes); gamma, beta, mean, invstd have C elements. On the
// GPU the former may be bf16; the latter are f32 then.
#pragma once

#include "tensor/tensor.h"

namespace cairn::kernels {

struct BatchMoments {
  Tensor mean, variance;  ///< per channel; the variance is the biased one (divided by M)
  Tensor invstd;          ///< 1 / sqrt(variance + eps)
};

/// Mean and variance of each channel; accurate also when |mean| >> deviation. Equal bits at any
/// thread count. With M = 0 both are zero.
BatchMoments batch_moments(const Tensor& x, double eps = 1e-5);

/// 1 / sqrt(variance + eps).
Tensor inverse_deviation(const Tensor& variance, double eps);

/// running += momentum (batch - running), in place; `unbiased` is the factor that makes the
/// variance so.
void update_running_(Tensor& running_mean, Tensor& running_var, const BatchMoments& moments,
                     double momentum, double unbiased);

/// y as above; `residual` may be undefined.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                  const Tensor& invstd, const Tensor& residual, bool relu);

/// The same in place, on the CPU: x becomes y.
void batch_norm_(Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                 const Tensor& invstd, const Tensor& residual, bool relu);

/// A convolution's weight (O x ...) and a bias that do what the convolution and the norm after it
/// did: weight gamma invstd, and beta - mean gamma invstd. Of the element type `type`.
struct FoldedNorm {
  Tensor weight, bias;
};
FoldedNorm fold_batch_norm(const Tensor& weight, const Tensor& gamma, const Tensor& beta,
                           const Tensor& mean, const Tensor& variance, double eps, DType type);

struct BatchNormGrads {
  Tensor dx, dgamma, dbeta;
  Tensor dresidual;  ///< dy after the ReLU's mask; defined only when it was asked for
};

/// Gradients of `batch_norm`. `y` is its result, used only for the ReLU's mask (may be undefined
/// when relu is false). `batch_statistics`: mean and invstd were computed from x (training), so dx
/// carries their terms; else they are constants (evaluation).
///   g = dy [y > 0]   dbeta = sum g   dgamma = sum g xhat
///   training:   dx = gamma invstd (g - dbeta / M - xhat dgamma / M)
///   evaluation: dx = gamma invstd g
BatchNormGrads batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& y,
                                   const Tensor& gamma, const Tensor& mean, const Tensor& invstd,
                                   bool relu, bool batch_statistics, bool want_residual);

// On the GPU; operands are checked by the functions above.
namespace cuda {
BatchMoments batch_moments(const Tensor& x, double eps);
Tensor inverse_deviation(const Tensor& variance, double eps);
void update_running_(Tensor& running_mean, Tensor& running_var, const BatchMoments& moments,
                     double momentum, double unbiased);
FoldedNorm fold_batch_norm(const Tensor& weight, const Tensor& gamma, const Tensor& beta,
                           const Tensor& mean, const Tensor& variance, double eps, DType type);
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                  const Tensor& invstd, const Tensor& residual, bool relu);
BatchNormGrads batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& y,
                                   const Tensor& gamma, const Tensor& mean, const Tensor& invstd,
                                   bool relu, bool batch_statistics, bool want_residual);
}  // namespace cuda

namespace reference {
BatchMoments batch_moments(const Tensor& x, double eps = 1e-5);
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                  const Tensor& invstd, const Tensor& residual, bool relu);
BatchNormGrads batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& y,
                                   const Tensor& gamma, const Tensor& mean, const Tensor& invstd,
                                   bool relu, bool batch_statistics, bool want_residual);
}  // namespace reference

}  // namespace cairn::kernels

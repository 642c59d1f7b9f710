// The plainest loops, channel by channel, summing in double.
#include <cmath>

#include "tensor/kernels/batch_norm/batch_norm.h"

namespace cairn::kernels::reference {

BatchMoments batch_moments(const Tensor& x, double eps) {
  const int64_t c = x.dim(-1), m = c ? x.numel() / c : 0;
  Tensor mean = Tensor::zeros({c}, x.dtype()), variance = Tensor::zeros({c}, x.dtype());
  Tensor invstd = Tensor::zeros({c}, x.dtype());
  dispatch_float(x.dtype(), "batch_moments", [&]<class T>() {
    for (int64_t j = 0; j < c && m > 0; ++j) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < m; ++i) sum += double(x.data<T>()[i * c + j]);
      for (int64_t i = 0; i < m; ++i) {
        const double off = double(x.data<T>()[i * c + j]) - sum / double(m);
        squares += off * off;
      }
      mean.data<T>()[j] = T(sum / double(m));
      variance.data<T>()[j] = T(squares / double(m));
    }
    for (int64_t j = 0; j < c; ++j)
      invstd.data<T>()[j] = T(1 / std::sqrt(double(variance.data<T>()[j]) + eps));
  });
  return {mean, variance, invstd};
}

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                  const Tensor& invstd, const Tensor& residual, bool relu) {
  const int64_t c = x.dim(-1);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(x.dtype(), "batch_norm", [&]<class T>() {
    for (int64_t i = 0; i < x.numel(); ++i) {
      const int64_t j = i % c;
      T z = gamma.data<T>()[j] * (x.data<T>()[i] - mean.data<T>()[j]) * invstd.data<T>()[j] +
            beta.data<T>()[j];
      if (residual.defined()) z += residual.data<T>()[i];
      y.data<T>()[i] = relu && z < 0 ? T(0) : z;
    }
  });
  return y;
}

BatchNormGrads batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& y,
                                   const Tensor& gamma, const Tensor& mean, const Tensor& invstd,
                                   bool relu, bool batch_statistics, bool want_residual) {
  const int64_t c = x.dim(-1), m = c ? x.numel() / c : 0;
  const DType type = x.dtype();
  BatchNormGrads grads{
      Tensor::empty(x.shape(), type), Tensor::empty({c}, type), Tensor::empty({c}, type), {}};
  Tensor g = Tensor::empty(x.shape(), type);
  dispatch_float(type, "batch_norm_backward", [&]<class T>() {
    for (int64_t i = 0; i < x.numel(); ++i)
      g.data<T>()[i] = !relu || y.data<T>()[i] > 0 ? dy.data<T>()[i] : T(0);
    for (int64_t j = 0; j < c; ++j) {
      const double center = double(mean.data<T>()[j]), scale = double(invstd.data<T>()[j]);
      double dbeta = 0, dgamma = 0;
      for (int64_t i = j; i < x.numel(); i += c) {
        dbeta += double(g.data<T>()[i]);
        dgamma += double(g.data<T>()[i]) * (double(x.data<T>()[i]) - center) * scale;
      }
      grads.dbeta.data<T>()[j] = T(dbeta);
      grads.dgamma.data<T>()[j] = T(dgamma);
      for (int64_t i = j; i < x.numel(); i += c) {
        double inner = double(g.data<T>()[i]);
        const double xhat = (double(x.data<T>()[i]) - center) * scale;
        if (batch_statistics) inner -= dbeta / double(m) + xhat * dgamma / double(m);
        grads.dx.data<T>()[i] = T(double(gamma.data<T>()[j]) * scale * inner);
      }
    }
  });
  if (want_residual) grads.dresidual = g;
  return grads;
}

}  // namespace cairn::kernels::reference

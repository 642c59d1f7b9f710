// The numbers of an update rule in the type that it is computed in, the same on every device.
#pragma once

#include <cmath>

#include "tensor/kernels/optimizer/optimizer.h"

namespace cairn::kernels {

template <class T>
struct SgdCoefficients {
  T lr, momentum, fresh, decay;
  bool nesterov, moving;  // moving: there is momentum
  explicit SgdCoefficients(const SgdRule& r)
      : lr(T(r.lr)),
        momentum(T(r.momentum)),
        fresh(T(1 - r.dampening)),
        decay(T(r.weight_decay)),
        nesterov(r.nesterov),
        moving(r.momentum != 0) {}
};

template <class T>
struct AdamCoefficients {
  T beta1, beta2, fresh1, fresh2, eps, keep, decay;
  explicit AdamCoefficients(const AdamRule& r)
      : beta1(T(r.beta1)),
        beta2(T(r.beta2)),
        fresh1(T(1 - r.beta1)),
        fresh2(T(1 - r.beta2)),
        eps(T(r.eps)),
        keep(r.decoupled ? T(1 - r.lr * r.weight_decay) : T(1)),
        decay(r.decoupled ? T(0) : T(r.weight_decay)) {}
};

/// What depends on the step.
template <class T>
struct AdamStep {
  T lr, root;
  AdamStep() = default;
  AdamStep(const AdamRule& r, int64_t step)
      : lr(T(r.lr / (1 - std::pow(r.beta1, double(step))))),
        root(T(1 / std::sqrt(1 - std::pow(r.beta2, double(step))))) {}
};

}  // namespace cairn::kernels

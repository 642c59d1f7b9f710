// Optimisers and learning-rate schedules, with PyTorch's definitions.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/module.h"
#include "tensor/kernels/optimizer/optimizer.h"

namespace cairn::nn {

/// Updates parameters in place from their gradients; a parameter without one is left alone.
class Optimizer {
 public:
  Optimizer(std::vector<NamedParameter> parameters, double lr);
  virtual ~Optimizer() = default;

  /// One step at the present `lr`. `scale`, one f64 element where the parameters are (undefined:
  /// 1), multiplies every gradient; if it is not finite, no parameter and no moment changes.
  void step(const Tensor& scale = {});
  void zero_grad();

  /// Everything that a resumed run needs besides the parameters: for each parameter that was ever
  /// updated, how often (step.<parameter>) and its moments (momentum.<parameter>, ...).
  std::vector<NamedTensor> state() const;
  /// Takes copies of what state() gave. Throws ErrorId::weights when a name, shape or type does not
  /// fit; the optimiser is unchanged then.
  void load_state(const std::vector<NamedTensor>& state);

  double lr;  ///< set it before each step from a Schedule

 protected:
  /// What is remembered of one parameter.
  struct Memory {
    int64_t steps = 0;            // its own, for it may have had no gradient in some
    std::vector<Tensor> moments;  // one for each of moment_names(), zeros at first
  };
  virtual void update(std::span<kernels::UpdateItem> items, const Tensor& scale) = 0;
  virtual std::vector<std::string> moment_names() const = 0;

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<Memory> memory_;
};

struct SgdOptions {
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};
std::unique_ptr<Optimizer> sgd(std::vector<NamedParameter> parameters, double lr,
                               const SgdOptions& options = {});

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  ///< AdamW
};
std::unique_ptr<Optimizer> adam(std::vector<NamedParameter> parameters, double lr,
                                const AdamOptions& options = {});
std::unique_ptr<Optimizer> adamw(std::vector<NamedParameter> parameters, double lr,
                                 AdamOptions options = {.weight_decay = 1e-2});

/// The learning rate as a function of how many steps are done, so that it needs no state.
using Schedule = std::function<double(int64_t step)>;
Schedule constant_lr(double lr);
Schedule exponential_lr(double lr, double gamma);              ///< lr gamma^step
Schedule step_lr(double lr, double gamma, int64_t step_size);  ///< lr gamma^floor(step / step_size)
/// lr (step + 1) / warmup for `warmup` steps, then half a cosine from lr down to final_lr at step
/// `total`, where it stays.
Schedule cosine_lr(double lr, int64_t total, int64_t warmup = 0, double final_lr = 0);

/// The joint L2 norm of all gradients: one f64 element where they are; nothing waits for it.
Tensor grad_norm(const std::vector<NamedParameter>& parameters);
/// Scales all gradients so that their joint L2 norm is at most max_norm; returns the norm before. A
/// norm that is not finite is returned, and changes nothing.
double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm);

}  // namespace cairn::nn

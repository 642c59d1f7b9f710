// Optimisers and learning-rate schedules, with PyTorch's definitions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/module.h"

namespace cairn::nn {

/// Updates parameters in place from their gradients; a parameter without one is left alone.
class Optimizer {
 public:
  explicit Optimizer(std::vector<NamedParameter> parameters, double lr)
      : lr(lr), parameters_(std::move(parameters)) {}
  virtual ~Optimizer() = default;

  /// One step at the present `lr`.
  void step();
  void zero_grad();

  /// Everything that a resumed run needs besides the parameters: the number of steps and a tensor
  /// per parameter and moment, named step, momentum.<parameter>, ...
  std::vector<NamedTensor> state() const;
  /// Takes what state() gave. Throws ErrorId::weights when a name or shape does not fit.
  void load_state(const std::vector<NamedTensor>& state);

  double lr;  ///< set it before each step from a Schedule

 protected:
  /// Updates one parameter; slots are its moments, undefined until they are first needed.
  virtual void update(Tensor& p, const Tensor& grad, std::vector<Tensor>& slots) = 0;
  virtual std::vector<std::string> slot_names() const = 0;
  int64_t steps() const { return steps_; }  ///< 1 during the first step

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<std::vector<Tensor>> slots_;
  int64_t steps_ = 0;
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
/// Linear from 0 over `warmup` steps, then half a cosine down to final_lr at step `total`.
Schedule cosine_lr(double lr, int64_t total, int64_t warmup = 0, double final_lr = 0);

/// Scales all gradients so that their joint L2 norm is at most max_norm; returns the norm before.
double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm);

}  // namespace cairn::nn

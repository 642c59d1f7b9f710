#include "nn/optim.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn::nn {

Optimizer::Optimizer(std::vector<NamedParameter> parameters, double rate)
    : lr(rate), parameters_(std::move(parameters)), memory_(parameters_.size()) {}

void Optimizer::step(const Tensor& scale) {
  std::vector<kernels::UpdateItem> items;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Var& p = parameters_[i].var;
    if (!p.grad().defined()) continue;
    Memory& memory = memory_[i];
    if (memory.steps++ == 0)
      for (size_t k = 0; k < moment_names().size(); ++k)
        memory.moments.push_back(Tensor::zeros(p.shape(), p.dtype(), p.device()));
    kernels::UpdateItem item{p.value_(), p.grad(), {}, memory.steps};
    std::ranges::copy(memory.moments, item.moments);
    items.push_back(std::move(item));
  }
  update(items, scale);
}

void Optimizer::zero_grad() {
  for (auto& p : parameters_) p.var.zero_grad();
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> all;
  const auto names = moment_names();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [steps, moments] = memory_[i];
    if (steps == 0) continue;
    all.push_back({"step." + parameters_[i].name, Tensor::from({}, std::vector<int64_t>{steps})});
    for (size_t k = 0; k < moments.size(); ++k)
      all.push_back({names[k] + "." + parameters_[i].name, moments[k]});
  }
  return all;
}

void Optimizer::load_state(const std::vector<NamedTensor>& state) {
  std::map<std::string, Tensor> given;
  for (const auto& s : state) given[s.name] = s.tensor;
  const auto take = [&](const std::string& name, const Shape& shape, DType type) {
    const auto it = given.find(name);
    require(it != given.end(), ErrorId::weights, "optimizer", "the state lacks ", name);
    const Tensor t = std::move(it->second);
    given.erase(it);
    require(t.shape() == shape && t.dtype() == type, ErrorId::weights, "optimizer", name, " is ",
            t.shape(), " ", t.dtype(), ", but ", shape, " ", type, " is expected");
    return t.clone();
  };
  std::vector<Memory> memory(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [name, var] = parameters_[i];
    if (!given.contains("step." + name)) continue;
    memory[i].steps = take("step." + name, {}, DType::i64).data<int64_t>()[0];
    require(memory[i].steps >= 1, ErrorId::weights, "optimizer", "step.", name, " is ",
            memory[i].steps, ", but 1 or more is expected");
    for (const auto& moment : moment_names())
      memory[i].moments.push_back(
          take(moment + "." + name, var.shape(), var.dtype()).to(var.device()));
  }
  require(given.empty(), ErrorId::weights, "optimizer", "the state holds ", given.begin()->first,
          ", which this optimiser does not have");
  memory_ = std::move(memory);
}

namespace {

class Sgd final : public Optimizer {
 public:
  Sgd(std::vector<NamedParameter> parameters, double rate, const SgdOptions& o)
      : Optimizer(std::move(parameters), rate), o_(o) {
    require(o.momentum >= 0, ErrorId::argument, "sgd", "the momentum is ", o.momentum);
    require(!o.nesterov || (o.momentum > 0 && o.dampening == 0), ErrorId::argument, "sgd",
            "Nesterov momentum needs a momentum and no dampening");
  }

 private:
  void update(std::span<kernels::UpdateItem> items, const Tensor& scale) override {
    kernels::sgd_(items, {lr, o_.momentum, o_.dampening, o_.weight_decay, o_.nesterov}, scale);
  }
  std::vector<std::string> moment_names() const override {
    return o_.momentum != 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
  }
  SgdOptions o_;
};

class Adam final : public Optimizer {
 public:
  Adam(std::vector<NamedParameter> parameters, double rate, const AdamOptions& o)
      : Optimizer(std::move(parameters), rate), o_(o) {
    for (double beta : {o.beta1, o.beta2})
      require(beta >= 0 && beta < 1, ErrorId::argument, "adam", "a beta is ", beta,
              ", not in [0, 1)");
  }

 private:
  void update(std::span<kernels::UpdateItem> items, const Tensor& scale) override {
    kernels::adam_(items, {lr, o_.beta1, o_.beta2, o_.eps, o_.weight_decay, o_.decoupled}, scale);
  }
  std::vector<std::string> moment_names() const override { return {"mean", "variance"}; }
  AdamOptions o_;
};

}  // namespace

std::unique_ptr<Optimizer> sgd(std::vector<NamedParameter> parameters, double lr,
                               const SgdOptions& options) {
  return std::make_unique<Sgd>(std::move(parameters), lr, options);
}

std::unique_ptr<Optimizer> adam(std::vector<NamedParameter> parameters, double lr,
                                const AdamOptions& options) {
  return std::make_unique<Adam>(std::move(parameters), lr, options);
}

std::unique_ptr<Optimizer> adamw(std::vector<NamedParameter> parameters, double lr,
                                 AdamOptions options) {
  options.decoupled = true;
  return adam(std::move(parameters), lr, options);
}

Schedule constant_lr(double lr) {
  return [=](int64_t) { return lr; };
}

Schedule exponential_lr(double lr, double gamma) { return step_lr(lr, gamma, 1); }

Schedule step_lr(double lr, double gamma, int64_t step_size) {
  require(step_size >= 1, ErrorId::argument, "step_lr", "the step size is ", step_size);
  return [=](int64_t step) { return lr * std::pow(gamma, double(step / step_size)); };
}

Schedule cosine_lr(double lr, int64_t total, int64_t warmup, double final_lr) {
  require(total >= 1 && warmup >= 0 && warmup <= total, ErrorId::argument, "cosine_lr", warmup,
          " steps of warm-up in ", total);
  return [=](int64_t step) {
    if (step < warmup) return lr * double(step + 1) / double(warmup);
    if (step >= total) return final_lr;
    const double done = double(step - warmup) / double(total - warmup);
    return final_lr + (lr - final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * done));
  };
}

Tensor grad_norm(const std::vector<NamedParameter>& parameters) {
  std::vector<Tensor> grads;
  for (const auto& p : parameters)
    if (p.var.grad().defined()) grads.push_back(p.var.grad());
  return kernels::sqrt(kernels::square_sum(grads));
}

double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm) {
  const double norm = grad_norm(parameters).item();
  if (norm > max_norm && std::isfinite(norm))
    for (const auto& p : parameters)
      if (Var v = p.var; v.grad().defined())
        v.set_grad(kernels::affine(v.grad(), max_norm / norm, 0));
  return norm;
}

}  // namespace cairn::nn

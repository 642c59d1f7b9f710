#include "nn/optim.h"

#include <cmath>
#include <map>
#include <numbers>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/optimizer/optimizer.h"
#include "tensor/kernels/reduce/reduce.h"

namespace cairn::nn {

void Optimizer::step() {
  ++steps_;
  slots_.resize(parameters_.size(), std::vector<Tensor>(slot_names().size()));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Var& p = parameters_[i].var;
    if (p.grad().defined()) update(p.value_(), p.grad(), slots_[i]);
  }
}

void Optimizer::zero_grad() {
  for (auto& p : parameters_) p.var.zero_grad();
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> all = {{"step", Tensor::from({}, std::vector<int64_t>{steps_})}};
  const auto names = slot_names();
  for (size_t i = 0; i < slots_.size(); ++i)
    for (size_t k = 0; k < names.size(); ++k)
      if (slots_[i][k].defined())
        all.push_back({names[k] + "." + parameters_[i].name, slots_[i][k]});
  return all;
}

void Optimizer::load_state(const std::vector<NamedTensor>& state) {
  std::map<std::string, Tensor> given;
  for (const auto& s : state) given[s.name] = s.tensor;
  const auto take = [&](const std::string& name, const Tensor& like) {
    const auto it = given.find(name);
    if (it == given.end()) return Tensor();
    require(it->second.shape() == like.shape() && it->second.dtype() == like.dtype(),
            ErrorId::weights, "optimizer", name, " is ", it->second.shape(), " ",
            it->second.dtype(), ", but the parameter is ", like.shape(), " ", like.dtype());
    const Tensor t = it->second.clone();
    given.erase(it);
    return t;
  };
  const Tensor step = take("step", Tensor::zeros({}, DType::i64));
  require(step.defined(), ErrorId::weights, "optimizer", "the state has no step");
  const auto names = slot_names();
  std::vector<std::vector<Tensor>> slots;
  for (const auto& p : parameters_) {
    slots.emplace_back();
    for (const auto& slot : names) slots.back().push_back(take(slot + "." + p.name, p.var.value()));
  }
  require(given.empty(), ErrorId::weights, "optimizer", "the state holds ", given.begin()->first,
          ", which this optimiser does not have");
  slots_ = std::move(slots);
  steps_ = step.data<int64_t>()[0];
}

namespace {

class Sgd final : public Optimizer {
 public:
  Sgd(std::vector<NamedParameter> parameters, double lr, const SgdOptions& o)
      : Optimizer(std::move(parameters), lr), o_(o) {
    require(!o.nesterov || (o.momentum > 0 && o.dampening == 0), ErrorId::argument, "sgd",
            "Nesterov momentum needs a momentum and no dampening");
  }

 private:
  void update(Tensor& p, const Tensor& grad, std::vector<Tensor>& slots) override {
    Tensor& v = slots[0];
    const bool first = !v.defined();
    if (first && o_.momentum != 0) v = Tensor::empty(p.shape(), p.dtype(), p.device());
    kernels::sgd_(p, grad, v, {lr, o_.momentum, o_.dampening, o_.weight_decay, o_.nesterov, first});
  }
  std::vector<std::string> slot_names() const override { return {"momentum"}; }
  SgdOptions o_;
};

class Adam final : public Optimizer {
 public:
  Adam(std::vector<NamedParameter> parameters, double lr, const AdamOptions& o)
      : Optimizer(std::move(parameters), lr), o_(o) {}

 private:
  void update(Tensor& p, const Tensor& grad, std::vector<Tensor>& slots) override {
    for (Tensor& s : slots)
      if (!s.defined()) s = Tensor::zeros(p.shape(), p.dtype(), p.device());
    kernels::adam_(p, grad, slots[0], slots[1],
                   {lr, o_.beta1, o_.beta2, o_.eps, o_.weight_decay, o_.decoupled, steps()});
  }
  std::vector<std::string> slot_names() const override { return {"mean", "variance"}; }
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
    const double done =
        std::min(1.0, double(step - warmup) / double(std::max<int64_t>(1, total - warmup)));
    return final_lr + (lr - final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * done));
  };
}

double clip_grad_norm(const std::vector<NamedParameter>& parameters, double max_norm) {
  double square = 0;
  for (const auto& p : parameters)
    if (p.var.grad().defined()) square += std::pow(kernels::norm(p.var.grad()), 2);
  const double norm = std::sqrt(square);
  if (norm > max_norm)
    for (const auto& p : parameters)
      if (Var v = p.var; v.grad().defined())
        v.set_grad(kernels::affine(v.grad(), max_norm / norm, 0));
  return norm;
}

}  // namespace cairn::nn

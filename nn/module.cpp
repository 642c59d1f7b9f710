#include "nn/module.h"

namespace cairn::nn {

Var Module::operator()(const Var& x) {
  LayerScope scope(name_);
  return forward(x);
}

void Module::train(bool on) {
  training_ = on;
  for (auto& c : children_) c->train(on);
}

void Module::for_each(const std::function<void(Module&)>& f) {
  for (auto& c : children_) {
    f(*c);
    c->for_each(f);
  }
}

Var& Module::parameter(const std::string& name, Tensor value) {
  slots_.push_back({name, std::make_unique<Var>(std::move(value), true), nullptr});
  return *slots_.back().parameter;
}

Tensor& Module::buffer(const std::string& name, Tensor value) {
  slots_.push_back({name, nullptr, std::make_unique<Tensor>(std::move(value))});
  return *slots_.back().buffer;
}

template <class F>
void Module::visit(const std::string& prefix, F&& f) const {
  for (const Slot& s : slots_) f(prefix + s.name, s);
  for (const auto& c : children_) c->visit(prefix + c->name_ + ".", f);
}

std::vector<NamedParameter> Module::parameters() const {
  std::vector<NamedParameter> all;
  visit("", [&](const std::string& name, const Slot& s) {
    if (s.parameter) all.push_back({name, *s.parameter});
  });
  return all;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const auto& p : parameters()) count += p.var.value().numel();
  return count;
}

std::vector<NamedTensor> Module::state() const {
  std::vector<NamedTensor> all;
  visit("", [&](const std::string& name, const Slot& s) {
    all.push_back({name, s.parameter ? s.parameter->value() : *s.buffer});
  });
  return all;
}

template <class F>
void Module::replace_each(F&& f) {
  visit("", [&](const std::string&, const Slot& s) {
    if (s.parameter) {
      s.parameter->value_() = f(s.parameter->value());
      s.parameter->zero_grad();
    } else {
      *s.buffer = f(*s.buffer);
    }
  });
}

void Module::to(DType type) {
  replace_each([&](const Tensor& t) {
    return t.dtype() == DType::f32 || t.dtype() == DType::f64 ? t.to(type) : t;
  });
}

void Module::to(Device device) {
  replace_each([&](const Tensor& t) { return t.dtype() == DType::i64 ? t : t.to(device); });
}

Device Module::device() const {
  const auto all = parameters();
  return all.empty() ? Device::cpu : all[0].var.device();
}

}  // namespace cairn::nn

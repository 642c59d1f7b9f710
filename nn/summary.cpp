#include <algorithm>
#include <functional>
#include <iomanip>
#include <map>

#include "nn/module.h"

namespace cairn::nn {
namespace {

struct Row {
  std::string layer, op;
  Shape shape;
  double mflop = 0;
};

/// Multiply-adds of the operations that dominate; element-wise ones are not counted.
double mflop_of(const OpEvent& e) {
  const std::string op = e.op;
  const double results = double(e.value.numel());
  if (results == 0 || e.inputs.size() < 2) return 0;
  const auto per_row = [](const Tensor& t, int64_t rows) {
    return double(t.numel()) / double(std::max<int64_t>(1, rows));
  };
  if (op == "conv2d") return 2e-6 * results * per_row(e.inputs[1], e.inputs[1].dim(0));
  if (op == "conv_transpose2d")
    return 2e-6 * double(e.inputs[0].numel()) * per_row(e.inputs[1], e.inputs[1].dim(0));
  if (op == "matmul") return 2e-6 * results * per_row(e.inputs[0], e.value.dim(0));
  return 0;
}

void line(std::ostream& out, const std::string& layer, const std::string& op,
          const std::string& shape, const std::string& parameters, double mflop) {
  out << std::left << std::setw(24) << layer << ' ' << std::setw(17) << op << ' ' << std::setw(18)
      << shape << ' ' << std::right << std::setw(10) << parameters << ' ' << std::setw(12) << mflop
      << '\n';
}

}  // namespace

std::string summary(Module& module, const Shape& input) {
  std::vector<Row> rows;
  struct Restore {  // also when the network throws
    OpObserver observer;
    std::vector<std::pair<Module*, bool>> modes;
    ~Restore() {
      set_op_observer(observer);
      for (auto [m, training] : modes) m->training_ = training;
    }
  } before;
  const std::function<void(Module&)> remember = [&](Module& m) {
    before.modes.emplace_back(&m, m.training_);
    for (auto& c : m.children_) remember(*c);
  };
  remember(module);
  before.observer = set_op_observer([&](const OpEvent& e) {
    if (!e.backward) rows.push_back({e.layer, e.op, e.value.shape(), mflop_of(e)});
  });
  module.eval();
  NoGrad no_grad;
  const auto parameters = module.parameters();
  module(Tensor::zeros(input, parameters.empty() ? DType::f32 : parameters[0].var.dtype(),
                       module.device()));

  std::map<std::string, int64_t> count;  // parameters by layer
  for (const auto& [name, var] : parameters) {
    const size_t dot = name.rfind('.');
    count[dot == std::string::npos ? "" : name.substr(0, dot)] += var.value().numel();
  }
  std::ostringstream out;
  out << std::fixed << std::setprecision(2) << std::left << std::setw(24) << "layer" << ' '
      << std::setw(17) << "operation" << ' ' << std::setw(18) << "result"
      << " parameters" << std::setw(13) << std::right << "MFLOP" << '\n';
  double total = 0;
  for (const Row& r : rows) {
    const auto own = count.extract(r.layer);  // told once, at the layer's first operation
    line(out, r.layer, r.op, cat(r.shape), own ? std::to_string(own.mapped()) : "", r.mflop);
    total += r.mflop;
  }
  line(out, "total", "", cat(input, " in"), std::to_string(module.parameter_count()), total);
  return std::move(out).str();
}

}  // namespace cairn::nn

#include <cstdio>
#include <map>

#include "nn/module.h"

namespace cairn::nn {
namespace {

struct Row {
  std::string layer, op;
  Shape shape;
  double mflop = 0;
};

/// Multiply-adds of the ops that dominate; element-wise ones are not counted.
double mflop_of(const OpEvent& e) {
  const std::string op = e.op;
  const auto per_row = [](const Tensor& w) { return double(w.numel()) / double(w.dim(0)); };
  if (op == "conv2d") return 2e-6 * double(e.value.numel()) * per_row(e.inputs[1]);
  if (op == "conv_transpose2d") return 2e-6 * double(e.inputs[0].numel()) * per_row(e.inputs[1]);
  return 0;
}

std::string line(const std::string& layer, const std::string& op, const std::string& shape,
                 int64_t parameters, double mflop) {
  char text[160];
  std::snprintf(text, sizeof text, "%-24s %-17s %-18s %10lld %12.2f\n", layer.c_str(), op.c_str(),
                shape.c_str(), static_cast<long long>(parameters), mflop);
  return text;
}

}  // namespace

std::string summary(Module& module, const Shape& input) {
  std::vector<Row> rows;
  const OpObserver before = set_op_observer([&](const OpEvent& e) {
    if (!e.backward && !e.layer.empty())
      rows.push_back({e.layer, e.op, e.value.shape(), mflop_of(e)});
  });
  const bool training = module.training();
  module.eval();
  try {
    NoGrad no_grad;
    const auto parameters = module.parameters();
    const DType type = parameters.empty() ? DType::f32 : parameters[0].var.dtype();
    module(Tensor::zeros(input, type));
  } catch (...) {
    set_op_observer(before);
    module.train(training);
    throw;
  }
  set_op_observer(before);
  module.train(training);

  std::map<std::string, int64_t> count;  // parameters by layer
  for (const auto& p : module.parameters())
    count[p.name.substr(0, p.name.rfind('.'))] += p.var.value().numel();
  char header[160];
  std::snprintf(header, sizeof header, "%-24s %-17s %-18s %10s %12s\n", "layer", "operation",
                "result", "parameters", "MFLOP");
  std::string text = header;
  double total = 0;
  for (const Row& r : rows) {
    const auto c = count.find(r.layer);
    text += line(r.layer, r.op, cat(r.shape), c == count.end() ? 0 : c->second, r.mflop);
    total += r.mflop;
  }
  return text + line("total", "", cat(input, " in"), module.parameter_count(), total);
}

}  // namespace cairn::nn

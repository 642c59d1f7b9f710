// Optimisers: the path of a few parameters under given gradients.
#include "nn/optim.h"

#include "tests/golden/golden.h"

namespace cairn::golden {
namespace {

/// The settings of a case: from the metadata under its name ("momentum=0.8 ..."), else those that
/// the reference's cases of that name were made with, which the file does not say.
std::unique_ptr<nn::Optimizer> optimizer(const TensorFile& file, const std::string& name,
                                         std::vector<nn::NamedParameter> parameters, double lr) {
  const auto given = settings(text(file, name));
  if (name.starts_with("adam")) {
    const bool decoupled = name.starts_with("adamw");
    return nn::adam(std::move(parameters), lr,
                    {.beta1 = number(given, "beta1", 0.9),
                     .beta2 = number(given, "beta2", decoupled ? 0.99 : 0.999),
                     .eps = number(given, "eps", 1e-8),
                     .weight_decay = number(given, "weight_decay", decoupled ? 1e-2 : 1e-4),
                     .decoupled = decoupled});
  }
  require(name.starts_with("sgd"), ErrorId::argument, "golden", "no optimiser named ", name);
  nn::SgdOptions o{.momentum = 0.8, .weight_decay = 1e-4};
  if (name.find("dampening") != std::string::npos)
    o = {.momentum = 0.9, .dampening = 0.1, .weight_decay = 1e-3};
  if (name.find("nesterov") != std::string::npos) o = {.momentum = 0.9, .nesterov = true};
  o.momentum = number(given, "momentum", o.momentum);
  o.dampening = number(given, "dampening", o.dampening);
  o.weight_decay = number(given, "weight_decay", o.weight_decay);
  return nn::sgd(std::move(parameters), lr, o);
}

Results run(const TensorFile& file, const std::string& name) {
  const Tensor &golden = find(file, name + ".trajectory"), &lr = find(file, name + ".lr");
  const int64_t n = golden.dim(1);
  const Var param(filled("param", {n}, -1, 1, seed(file)).to(DType::f64).to(device()), true);
  const auto o = optimizer(file, name, {{"param", param}}, lr.to_vector().at(0));
  // "ExponentialLR(0.9)" in the rule, for the cases listed under exponential_lr.
  const std::string rule = text(file, "rule"), scheduler = "ExponentialLR(";
  const auto scheduled = split(text(file, "exponential_lr"), ',');
  const size_t at = rule.find(scheduler);
  const bool decays =
      at != std::string::npos && std::ranges::find(scheduled, name) != scheduled.end();
  const auto schedule =
      nn::exponential_lr(o->lr, decays ? std::stod(rule.substr(at + scheduler.size())) : 1);

  std::vector<double> path, rates;
  for (int64_t t = 0; t < golden.dim(0); ++t) {
    o->zero_grad();
    o->lr = schedule(t);
    const Tensor grad = filled(cat("grad", t), {n}, -1, 1, seed(file)).to(DType::f64);
    sum(mul(param, grad.to(device()))).backward();
    o->step();
    const auto now = param.value().to_vector();
    path.insert(path.end(), now.begin(), now.end());
    rates.push_back(o->lr);
  }
  return {{"trajectory", Tensor::from(golden.shape(), path)}, {"lr", Digest::tensor(rates)}};
}

TEST_CASE("optimisers follow the reference's trajectories") {
  check_files(".trajectory", [](const TensorFile& file, Report& report) {
    for (const auto& name : before(file, ".trajectory")) {
      report.begin(name);
      for (const auto& [what, ours] : run(file, name))
        report.compare(what, ours, find(file, name + "." + what), 1e-9);
    }
  });
}

}  // namespace
}  // namespace cairn::golden

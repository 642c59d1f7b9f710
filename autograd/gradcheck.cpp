#include "autograd/gradcheck.h"

#include <cmath>
#include <numeric>

#include "tensor/random.h"

namespace cairn {
namespace {

double dot(const Tensor& a, const Tensor& b) {
  return std::inner_product(a.span<double>().begin(), a.span<double>().end(),
                            b.span<double>().begin(), 0.0);
}

double draw(const Sample::Input& input, Random& random) {
  for (;;) {
    const double value = random.uniform(input.lo, input.hi);
    bool clear = true;
    for (double kink : input.kinks) clear &= std::fabs(value - kink) > 0.05;
    if (clear) return value;
  }
}

}  // namespace

std::vector<Var> draw_inputs(const Sample& sample, uint64_t seed, DType type, bool requires_grad,
                             Device device) {
  Random random(seed);
  std::vector<Var> vars;
  for (const auto& input : sample.inputs) {
    Tensor t = Tensor::empty(input.shape, DType::f64);
    for (double& v : t.span<double>()) v = draw(input, random);
    vars.emplace_back(t.to(type).to(device), requires_grad);
  }
  return vars;
}

GradcheckResult gradcheck(const Sample& sample, uint64_t seed, Device device, double h,
                          double tolerance) {
  const std::vector<Var> x = draw_inputs(sample, seed, DType::f64, true, device);
  const Var y = sample.run(x);
  Random random(seed, 1);
  const Tensor cotangent = random_normal(y.shape(), random, 0, 1, DType::f64);
  GradcheckResult result;
  if (!y.requires_grad()) return {false, INFINITY, "the result does not depend on the inputs"};
  y.backward(cotangent.to(device));

  // The derivative along `direction` of input i, a copy of whose values is moved.
  const auto compare = [&](size_t i, const Tensor& direction, const std::string& what) {
    const auto moved = [&](double step) {
      NoGrad no_grad;
      std::vector<Var> at = x;
      Tensor t = x[i].value().to(Device::cpu).clone();
      for (int64_t k = 0; k < t.numel(); ++k)
        t.data<double>()[k] += step * direction.data<double>()[k];
      at[i] = Var(t.to(device));
      return dot(sample.run(at).value().to(Device::cpu), cotangent);
    };
    const double numeric = (moved(h) - moved(-h)) / (2 * h);
    const double analytic = x[i].grad().defined() ? dot(x[i].grad().to(Device::cpu), direction) : 0;
    double error = std::fabs(numeric - analytic) / std::max(1.0, std::fabs(numeric));
    if (error != error) error = INFINITY;  // NaN, worse than any number
    result.worst = std::max(result.worst, error);
    if (error > tolerance && result.ok) {
      result.ok = false;
      result.where =
          cat("input ", i, ", ", what, ": central difference ", numeric, ", backward ", analytic);
    }
  };
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t n = x[i].value().numel();
    if (x[i].grad().defined() && !(x[i].grad().shape() == x[i].shape()))
      return {false, INFINITY, cat("input ", i, ": the gradient has another shape")};
    const auto chosen = sample_without_replacement(n, std::min<int64_t>(n, 100), random);
    for (int64_t k : chosen) {
      Tensor unit = Tensor::zeros(x[i].shape(), DType::f64);
      unit.data<double>()[k] = 1;
      compare(i, unit, cat("element ", k));
    }
    if (n > 100)
      compare(i, random_normal(x[i].shape(), random, 0, 1 / std::sqrt(double(n)), DType::f64),
              "a random direction");
  }
  return result;
}

}  // namespace cairn

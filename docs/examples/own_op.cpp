// An operation of your own, in your own file: y = x / (1 + exp(-x)), known as SiLU or swish.
//
// An op says how to go forward, how to go back, and gives samples of itself; without samples it
// does not compile. gradcheck() then compares its gradient with central differences.
#include <cmath>
#include <cstdio>

#include "autograd/gradcheck.h"
#include "autograd/op.h"
#include "autograd/ops.h"

using namespace cairn;

namespace {

Var silu(const Var& x);

/// y = x s(x), s(x) = 1 / (1 + exp(-x))      dx = dy s (1 + x (1 - s))
struct Silu {
  static constexpr auto name = "silu";

  static Tensor forward(Saved& saved, Inputs x) {
    saved.keep(x[0]);  // backward() needs it; nothing is kept when no gradient is wanted
    return map(x[0], [](double v) { return v * sigmoid(v); });
  }
  static Grads backward(const Saved& saved, const Tensor& dy) {
    Tensor dx = map(saved[0], [](double v) { return sigmoid(v) * (1 + v * (1 - sigmoid(v))); });
    dispatch_float(dx.dtype(), name, [&]<class T>() {
      for (int64_t i = 0; i < dx.numel(); ++i) dx.data<T>()[i] *= dy.data<T>()[i];
    });
    return {dx};  // one gradient for each input
  }
  static Samples samples() {
    const auto run = [](const std::vector<Var>& v) { return silu(v[0]); };
    return {{"a matrix", {{{3, 5}, -4, 4}}, run}, {"no elements", {{{0, 2}}}, run}};
  }

 private:
  static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }
  /// f of each element, in x's own type.
  template <class F>
  static Tensor map(const Tensor& x, const F& f) {
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch_float(x.dtype(), name, [&]<class T>() {
      for (int64_t i = 0; i < x.numel(); ++i) y.data<T>()[i] = T(f(double(x.data<T>()[i])));
    });
    return y;
  }
};

/// What the rest of a program calls.
Var silu(const Var& x) { return apply(Silu{}, {x}); }

}  // namespace

int main() {
  for (const Sample& sample : Silu::samples()) {
    const GradcheckResult result = gradcheck(sample, 1);
    std::printf("%s: largest error of the gradient %.1e\n", sample.label.c_str(), result.worst);
    if (!result.ok) {
      std::printf("wrong at %s\n", result.where.c_str());
      return 1;
    }
  }
  // It takes part in differentiation like any op of the library. By the chain rule, at 0:
  // d/dx silu(2 x)^2 + silu(x) = 2 silu(0) silu'(0) 2 + silu'(0) = 1/2.
  const Var x(Tensor::scalar(0), true);
  (square(silu(scale(x, 2))) + silu(x)).backward();
  std::printf("the gradient at 0 is %g\n", x.grad().item());
  return x.grad().item() == 0.5 ? 0 : 1;
}

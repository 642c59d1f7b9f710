#include "nn/optim.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "tests/compare.h"
#include "tests/errors.h"

using namespace cairn;

namespace {

constexpr double lr = 0.05;

/// The gradient given at step t = 1, 2, ...: changing and of both signs.
double gradient(int t) { return std::sin(double(t) * 1.7) + 0.3; }

nn::NamedParameter number(const std::string& name, double value) {
  return {name, Var(Tensor::scalar(value, DType::f64), true)};
}

void give(const nn::NamedParameter& p, double grad) {
  Var(p.var).set_grad(Tensor::scalar(grad, DType::f64));
}

using Make = std::function<std::unique_ptr<nn::Optimizer>(std::vector<nn::NamedParameter>)>;

Make sgd_with(nn::SgdOptions o) {
  return [=](auto parameters) { return nn::sgd(std::move(parameters), lr, o); };
}
Make adam_with(nn::AdamOptions o) {
  return [=](auto parameters) { return nn::adam(std::move(parameters), lr, o); };
}

/// Ten steps from 1 against `rule`, which moves p by the gradient g at step t.
void follows(const Make& make, const std::function<void(double& p, double g, int t)>& rule) {
  const auto p = number("p", 1);
  const auto optimizer = make({p});
  double expected = 1;
  for (int t = 1; t <= 10; ++t) {
    give(p, gradient(t));
    optimizer->step();
    rule(expected, gradient(t), t);
    CAPTURE(t);
    CHECK(difference(p.var.value(), Tensor::scalar(expected, DType::f64)) <= 1e-13);
  }
}

void follows_sgd(const nn::SgdOptions& o) {
  double v = 0;
  follows(sgd_with(o), [&](double& p, double g, int t) {
    g += o.weight_decay * p;
    v = t == 1 ? g : o.momentum * v + (1 - o.dampening) * g;
    p -= lr * (o.momentum == 0 ? g : o.nesterov ? g + o.momentum * v : v);
  });
}

void follows_adam(const nn::AdamOptions& o) {
  double m = 0, v = 0;
  follows(adam_with(o), [&](double& p, double g, int t) {
    if (o.decoupled)
      p -= lr * o.weight_decay * p;
    else
      g += o.weight_decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double mean = m / (1 - std::pow(o.beta1, t)), square = v / (1 - std::pow(o.beta2, t));
    p -= lr * mean / (std::sqrt(square) + o.eps);
  });
}

}  // namespace

TEST_CASE("SGD: plain, with weight decay, momentum, dampening, Nesterov") {
  follows_sgd({});
  follows_sgd({.weight_decay = 0.1});
  follows_sgd({.momentum = 0.9});
  follows_sgd({.momentum = 0.8, .dampening = 0.3, .weight_decay = 0.01});
  follows_sgd({.momentum = 0.9, .weight_decay = 0.01, .nesterov = true});
}

TEST_CASE("Adam: bias-corrected, decay in the gradient; AdamW: decay beside it") {
  follows_adam({});
  follows_adam({.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1});
  follows_adam({.weight_decay = 0.1, .decoupled = true});
}

TEST_CASE("adamw() decays by 0.01 unless told otherwise") {
  const auto p = number("p", 1);
  give(p, 0);
  nn::adamw({p}, 0.1)->step();
  CHECK(p.var.item() == doctest::Approx(1 - 0.1 * 0.01).epsilon(1e-12));
}

TEST_CASE("a parameter without a gradient rests, and its first step is then its own first") {
  for (const Make& make : {sgd_with({.momentum = 0.9, .dampening = 0.5}), adam_with({})}) {
    const auto late = number("late", 1), alone = number("alone", 1), busy = number("busy", 1);
    const auto both = make({late, busy}), one = make({alone});
    for (int t = 1; t <= 6; ++t) {
      give(busy, gradient(t));
      if (t > 3) give(late, gradient(t));
      both->step();
      if (t <= 3) CHECK(late.var.item() == 1);
      if (t <= 3) continue;
      give(alone, gradient(t));
      one->step();
      CHECK(same_bits(late.var.value(), alone.var.value()));
    }
  }
}

TEST_CASE("zero_grad drops gradients, so that a step changes nothing") {
  const auto p = number("p", 1);
  const auto optimizer = nn::sgd({p}, lr);
  give(p, 5);
  optimizer->zero_grad();
  optimizer->step();
  CHECK(p.var.item() == 1);
}

TEST_CASE("a run resumed from its state goes on bit for bit") {
  for (const Make& make :
       {sgd_with({}), sgd_with({.momentum = 0.9, .weight_decay = 0.01, .nesterov = true}),
        adam_with({.weight_decay = 0.01}), adam_with({.weight_decay = 0.1, .decoupled = true})}) {
    const auto a = number("a", 1), rests = number("rests", 2);
    const auto first = make({a, rests});
    for (int t = 1; t <= 5; ++t) {
      give(a, gradient(t));
      first->step();
    }
    const auto b = number("a", a.var.item()), rests_too = number("rests", 2);
    const auto second = make({b, rests_too});
    second->load_state(first->state());
    for (int t = 6; t <= 10; ++t) {
      give(a, gradient(t));
      give(b, gradient(t));
      first->step();
      second->step();
      CHECK(same_bits(a.var.value(), b.var.value()));
    }
  }
}

TEST_CASE("the state names each parameter, and loading copies") {
  const auto p = number("conv.weight", 1);
  const auto adam = nn::adam({p}, lr);
  CHECK(adam->state().empty());
  give(p, 1);
  adam->step();
  std::vector<std::string> names;
  for (const auto& s : adam->state()) names.push_back(s.name);
  CHECK(names ==
        std::vector<std::string>{"step.conv.weight", "mean.conv.weight", "variance.conv.weight"});
  const auto q = number("conv.weight", 1);
  const auto other = nn::adam({q}, lr);
  other->load_state(adam->state());
  give(q, 9);
  other->step();
  CHECK(adam->state()[1].tensor.item() == doctest::Approx(0.1));
  CHECK(adam->state()[0].tensor.item() == 1);
}

TEST_CASE("a state that does not fit is refused, and the optimiser goes on as it was") {
  const auto p = number("p", 1);
  const auto adam = nn::adam({p}, lr);
  give(p, 1);
  adam->step();
  const auto good = adam->state();
  const auto refused = [&](auto&& change) {
    auto state = good;
    change(state);
    return error_of(ErrorId::weights, [&] { adam->load_state(state); });
  };
  CHECK(has(refused([](auto& s) { s[1].tensor = Tensor::zeros({3}, DType::f64); }),
            "mean.p is 3 f64, but scalar f64 is expected"));
  CHECK(has(refused([](auto& s) { s[1].tensor = Tensor::scalar(0); }), "mean.p is scalar f32"));
  CHECK(has(refused([](auto& s) { s.pop_back(); }), "the state lacks variance.p"));
  CHECK(has(refused([](auto& s) { s.erase(s.begin()); }), "holds mean.p"));
  CHECK(has(refused([](auto& s) {
              s.push_back({"momentum.p", Tensor::scalar(0)});
            }),
            "holds momentum.p, which this optimiser does not have"));
  CHECK(has(refused([](auto& s) { s[0].tensor = Tensor::full({}, -1, DType::i64); }),
            "step.p is -1"));
  for (size_t i = 0; i < good.size(); ++i)
    CHECK(same_bits(adam->state()[i].tensor, good[i].tensor));
}

TEST_CASE("settings that make no sense are refused") {
  error_of(ErrorId::argument, [] { nn::sgd({}, lr, {.nesterov = true}); });
  error_of(ErrorId::argument,
           [] { nn::sgd({}, lr, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}); });
  error_of(ErrorId::argument, [] { nn::sgd({}, lr, {.momentum = -0.9}); });
  error_of(ErrorId::argument, [] { nn::adam({}, lr, {.beta1 = 1}); });
  error_of(ErrorId::argument, [] { nn::adam({}, lr, {.beta2 = NAN}); });
  error_of(ErrorId::argument, [] { nn::step_lr(1, 0.5, 0); });
  error_of(ErrorId::argument, [] { nn::cosine_lr(1, 10, 11); });
  error_of(ErrorId::argument, [] { nn::cosine_lr(1, 0); });
}

TEST_CASE("schedules: constant, exponential, steps") {
  CHECK(nn::constant_lr(0.3)(12345) == 0.3);
  const auto exponential = nn::exponential_lr(2, 0.5), steps = nn::step_lr(2, 0.1, 3);
  CHECK(exponential(0) == 2);
  CHECK(exponential(3) == 0.25);
  CHECK(steps(2) == 2);
  CHECK(steps(3) == doctest::Approx(0.2).epsilon(1e-14));
  CHECK(steps(6) == doctest::Approx(0.02).epsilon(1e-14));
}

TEST_CASE("cosine: rises over the warm-up, falls by half a cosine, stays at the end") {
  const auto warm = nn::cosine_lr(1, 14, 4, 0.1);
  const std::vector<double> rise = {0.25, 0.5, 0.75, 1};
  for (size_t i = 0; i < rise.size(); ++i) CHECK(warm(int64_t(i)) == rise[i]);
  CHECK(warm(4) == 1);
  CHECK(warm(9) == doctest::Approx(0.55).epsilon(1e-12));  // half way down
  CHECK(warm(14) == 0.1);
  CHECK(warm(99) == 0.1);
  CHECK(nn::cosine_lr(1, 10)(0) == 1);
  CHECK(nn::cosine_lr(1, 3, 3, 0.1)(2) == 1);  // nothing but a warm-up
  CHECK(nn::cosine_lr(1, 3, 3, 0.1)(3) == 0.1);
}

TEST_CASE("clip_grad_norm: one norm over all gradients, scaled only when it is too large") {
  const auto a = number("a", 0), b = number("b", 0), none = number("none", 0);
  give(a, 3);
  give(b, -4);
  CHECK(nn::clip_grad_norm({a, b, none}, 6) == 5);
  CHECK(a.var.grad().item() == 3);
  CHECK(nn::clip_grad_norm({a, b, none}, 1) == 5);
  CHECK(a.var.grad().item() == doctest::Approx(0.6).epsilon(1e-14));
  CHECK(b.var.grad().item() == doctest::Approx(-0.8).epsilon(1e-14));
  CHECK_FALSE(none.var.grad().defined());
  CHECK(nn::clip_grad_norm({none}, 1) == 0);
  give(a, INFINITY);
  CHECK(nn::clip_grad_norm({a, b}, 1) == INFINITY);
  CHECK(b.var.grad().item() == doctest::Approx(-0.8).epsilon(1e-14));
  give(a, NAN);
  CHECK(std::isnan(nn::clip_grad_norm({a, b}, 1)));
}

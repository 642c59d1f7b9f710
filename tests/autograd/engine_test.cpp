#include <doctest/doctest.h>

#include <cmath>
#include <thread>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "tests/compare.h"
#include "tests/errors.h"

using namespace cairn;

namespace {

Var leaf(std::vector<double> values) {
  return Var(Tensor::from({int64_t(values.size())}, values), true);
}

}  // namespace

TEST_CASE("a value used twice receives the sum of both gradients") {
  const Var x = leaf({3});
  sum(x * x + x).backward();
  CHECK(x.grad().item() == 7);
}

TEST_CASE("a diamond is walked once, after both of its sides") {
  const Var x = leaf({2});
  const Var shared = square(x);               // 4
  sum(shared * scale(shared, 3)).backward();  // 3 x^4
  CHECK(x.grad().item() == 12 * 8);
}

TEST_CASE("a constant gets no gradient and builds no tape") {
  const Var x = leaf({1, 2}), c = Tensor::from({2}, std::vector<double>{5, 6});
  const Var y = sum(x * c);
  y.backward();
  CHECK(x.grad().to_vector() == std::vector<double>{5, 6});
  CHECK_FALSE((c + c).requires_grad());
  error_of(ErrorId::graph, [&] { c.grad(); });
}

TEST_CASE("the tape is freed by backward unless it is retained") {
  const Var x = leaf({2});
  const Var kept = sum(square(x));
  kept.backward({}, true);
  kept.backward();
  CHECK(x.grad().item() == 8);
  const std::string text = error_of(ErrorId::graph, [&] { kept.backward(); });
  CHECK(text.find("retain = true") != std::string::npos);
  CHECK(text.find("sum") != std::string::npos);
}

TEST_CASE("a seed is needed, and must fit, when the result is not one element") {
  const Var x = leaf({1, 2});
  const Var y = square(x);
  error_of(ErrorId::shape, [&] { y.backward(); });
  error_of(ErrorId::shape, [&] { y.backward(Tensor::zeros({3}, DType::f64)); });
  y.backward(Tensor::from({2}, std::vector<double>{1, 10}));
  CHECK(x.grad().to_vector() == std::vector<double>{2, 40});
}

TEST_CASE("NoGrad nests, and detach cuts") {
  const Var x = leaf({2});
  {
    NoGrad outer;
    { NoGrad inner; }
    CHECK(NoGrad::active());
    CHECK_FALSE(square(x).requires_grad());
  }
  CHECK_FALSE(NoGrad::active());
  const Var y = sum(square(x) * square(x).detach());
  y.backward();
  CHECK(x.grad().item() == 2 * 2 * 4);
}

TEST_CASE("a hook sees the complete gradient and may replace it") {
  const Var x = leaf({3});
  const Var y = scale(x, 2);
  double seen = 0;
  y.on_grad([&](const Tensor& g) {
    seen = g.item();
    return Tensor::full({1}, 100, DType::f64);
  });
  sum(y + y).backward();
  CHECK(seen == 2);
  CHECK(x.grad().item() == 200);
}

TEST_CASE("hooks run in turn, also on leaves; one that returns nothing only looks") {
  const Var x = leaf({1, 2});
  x.on_grad([](const Tensor& g) { return g.reshape({2}); });
  x.on_grad([](const Tensor&) { return Tensor::full({2}, 5, DType::f64); });
  std::vector<double> last;
  x.on_grad([&](const Tensor& g) {
    last = g.to_vector();
    return Tensor();
  });
  sum(x).backward();
  CHECK(last == std::vector<double>{5, 5});
  CHECK(x.grad().to_vector() == last);
}

TEST_CASE("a hook added by a hook waits for the next backward") {
  const Var x = leaf({1});
  int calls = 0;
  for (int i = 0; i < 3; ++i)
    x.on_grad([&](const Tensor&) {
      x.on_grad([&](const Tensor&) {
        ++calls;
        return Tensor();
      });
      return Tensor();
    });
  sum(x).backward();
  CHECK(calls == 0);
  sum(x).backward();
  CHECK(calls == 3);
}

TEST_CASE("what a hook returns must be a gradient of that value") {
  const Var x = leaf({1, 2});
  const Var wrong_shape = scale(x, 1), wrong_type = scale(x, 1);
  wrong_shape.on_grad([](const Tensor&) { return Tensor::zeros({3}, DType::f64); });
  wrong_type.on_grad([](const Tensor&) { return Tensor::zeros({2}, DType::f32); });
  CHECK(error_of(ErrorId::shape, [&] { sum(wrong_shape).backward(); }).find("backward hook") == 0);
  CHECK(error_of(ErrorId::dtype, [&] { sum(wrong_type).backward(); }).find("backward hook") == 0);
}

TEST_CASE("a tape that another thread continued is walked in order") {
  const Var x = leaf({3});
  Var shared = x, y;
  for (int i = 0; i < 10; ++i) shared = scale(shared, 1);
  std::thread([&] { y = sum(shared + square(shared)); }).join();
  y.backward();
  CHECK(x.grad().item() == 7);
}

TEST_CASE("evaluation's gradient uses the running mean that its forward pass used") {
  BatchNormState state{Tensor::zeros({1}, DType::f64), Tensor::full({1}, 1, DType::f64), 0.5, 0};
  const Var x = Tensor::from({2, 1}, std::vector<double>{3, 5}), beta = leaf({0}),
            gamma = leaf({1});
  state.training = false;
  const Var y = batch_norm(x, gamma, beta, state);
  state.training = true;
  batch_norm(x, gamma, beta, state);
  CHECK(state.running_mean.item() == 2);
  y.backward(Tensor::full({2, 1}, 1, DType::f64));
  CHECK(gamma.grad().item() == 8);  // the sum of x - 0
}

TEST_CASE("a batch_norm that fails leaves its running statistics alone") {
  BatchNormState state{Tensor::zeros({1}, DType::f64), Tensor::full({1}, 1, DType::f64)};
  const Var x = Tensor::from({2, 1}, std::vector<double>{3, 5});
  error_of(ErrorId::shape, [&] { batch_norm(x, leaf({1, 2}), leaf({0}), state); });
  CHECK(state.running_mean.item() == 0);
  CHECK(state.running_var.item() == 1);
}

TEST_CASE("an observer is told of every op, with what the tape keeps") {
  std::vector<std::string> events;
  int64_t saved = 0;
  auto before = set_op_observer([&](const OpEvent& e) {
    events.push_back(std::string(e.layer) + ":" + e.op + (e.backward ? "'" : ""));
    saved += e.saved_bytes;
  });
  const Var x = leaf({3, 4});
  {
    LayerScope outer("net"), inner("layer1");
    sum(square(x)).backward();
  }
  set_op_observer(before);
  CHECK(events == std::vector<std::string>{"net.layer1:square", "net.layer1:sum", "net.layer1:sum'",
                                           "net.layer1:square'"});
  CHECK(saved == 16);
}

TEST_CASE("anomaly mode names op, layer and first bad index") {
  const Var x(Tensor::from({2, 2}, std::vector<double>{1, 4, 0, 9}), true);
  AnomalyMode anomaly;
  const Tensor numerator = Tensor::full({2, 2}, 1, DType::f64);
  LayerScope scope("head");
  const std::string forward = error_of(ErrorId::nan, [&] { div(numerator, x); });
  CHECK(forward.find("div: the result in layer head is inf first at [1, 0] of 2x2") !=
        std::string::npos);
  const std::string backward = error_of(ErrorId::nan, [&] { sum(sqrt(x)).backward(); });
  CHECK(backward.find("sqrt: the gradient of input 0 in layer head is inf first at [1, 0]") !=
        std::string::npos);
}

TEST_CASE("a chain of a million ops overflows no stack, neither backward nor in destruction") {
  const Var x = leaf({1});
  {
    Var y = x;
    for (int i = 0; i < 1'000'000; ++i) y = scale(y, 1);
    y.backward(Tensor::full({1}, 1, DType::f64));
    CHECK(x.grad().item() == 1);
  }
  Var dropped = x;  // never walked: freed with its tape intact
  for (int i = 0; i < 1'000'000; ++i) dropped = scale(dropped, 1);
}

TEST_CASE("memory that only the tape held is given back by backward") {
  const Var x(Tensor::full({1000}, 1, DType::f64), true);
  const int64_t before = memory_stats(Device::cpu).live;
  const Var y = sum(square(square(square(x))));
  CHECK(memory_stats(Device::cpu).live > before + 2 * 8000);
  y.backward();
  CHECK(memory_stats(Device::cpu).live <= before + 8064 + 64);  // x's gradient and y
}

TEST_CASE("only leaves may change in place, and only floats require gradients") {
  Var x = leaf({1});
  x.value_().span<double>()[0] = 2;
  Var y = square(x);
  error_of(ErrorId::graph, [&] { y.value_(); });
  error_of(ErrorId::dtype, [] { Var(Tensor::zeros({2}, DType::i64), true); });
  error_of(ErrorId::argument, [] { Var().value(); });
  error_of(ErrorId::graph, [&] { Var(Tensor::zeros({1})).backward(); });
}

TEST_CASE("an error names the operation that was called, not a kernel below it") {
  const Var x = Tensor::zeros({1, 2, 2, 3}), w = Tensor::zeros({3, 1, 1, 2}, DType::f64);
  CHECK(error_of(ErrorId::dtype, [&] {
          conv_transpose2d(x, w);
        }).starts_with("conv_transpose2d: the operands are f32 and f64"));
}

TEST_CASE(
    "recomputed: the tape keeps the input alone, and what f refers to gets its gradient too") {
  const Var x(Tensor::from({2}, std::vector<double>{3, 5}), true);
  const Var w(Tensor::from({2}, std::vector<double>{2, -1}), true);
  int runs = 0;
  const auto f = [&](const Var& v) {
    ++runs;
    return square(v * w) * v;  // w^2 v^3
  };
  int64_t kept = 0;
  const auto before = set_op_observer([&](const OpEvent& e) { kept += e.saved_bytes; });
  const Var y = recomputed(f, x);
  set_op_observer(before);
  CHECK(runs == 1);
  CHECK(kept == 2 * 8);
  sum(y).backward();
  CHECK(runs == 2);
  CHECK(x.grad().to_vector() == std::vector<double>{3 * 4 * 9, 3 * 1 * 25});
  CHECK(w.grad().to_vector() == std::vector<double>{2 * 2 * 27, 2 * -1 * 125});

  const Var constant(Tensor::from({2}, std::vector<double>{3, 5}));
  Var again = w;
  again.zero_grad();
  sum(recomputed(f, constant, w)).backward();
  CHECK(w.grad().to_vector() == std::vector<double>{2 * 2 * 27, 2 * -1 * 125});
  NoGrad no_grad;
  CHECK_FALSE(recomputed(f, x).requires_grad());
}

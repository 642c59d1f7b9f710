#include "tensor/kernels/optimizer/optimizer.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;

TEST_CASE("sgd_: three steps of the rule, in every variant") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (int64_t n : {0, 1, 16, 37})
        for (int mode = 0; mode < 8; ++mode) {
          const double momentum = mode & 1 ? 0.9 : 0, decay = mode & 2 ? 0.01 : 0, lr = 0.1;
          const bool nesterov = (mode & 4) && momentum != 0;
          const double dampening = nesterov ? 0 : 0.25;
          Tensor p = normal({n}, type, 1),
                 v = momentum != 0 ? Tensor::full({n}, NAN, type) : Tensor();
          std::vector<double> rp = p.to_vector(), rv(size_t(n), 0.0);
          for (int step = 0; step < 3; ++step) {
            const Tensor grad = normal({n}, type, uint64_t(2 + step));
            kernels::UpdateItem item{p, grad, {v}, step + 1};
            kernels::sgd_({&item, 1}, {lr, momentum, dampening, decay, nesterov});
            for (size_t i = 0; i < rp.size(); ++i) {
              const double g = grad.to_vector()[i] + decay * rp[i];
              rv[i] = step == 0 ? g : momentum * rv[i] + (1 - dampening) * g;
              if (momentum == 0)
                rp[i] -= lr * g;
              else
                rp[i] -= lr * (nesterov ? g + momentum * rv[i] : rv[i]);
            }
          }
          CAPTURE(mode);
          CHECK(difference(p, Tensor::from({n}, rp).to(type)) <= tolerance(type));
          if (momentum != 0)
            CHECK(difference(v, Tensor::from({n}, rv).to(type)) <= tolerance(type));
        }
  });
}

TEST_CASE("adam_: three steps of the rule, coupled and decoupled") {
  each_simd_target([] {
    for (DType type : {DType::f32, DType::f64})
      for (int64_t n : {0, 1, 16, 37})
        for (bool decoupled : {false, true}) {
          const double lr = 0.1, b1 = 0.9, b2 = 0.99, eps = 1e-3, decay = 0.05;
          Tensor p = normal({n}, type, 1), m = Tensor::zeros({n}, type),
                 v = Tensor::zeros({n}, type);
          std::vector<double> rp = p.to_vector(), rm(size_t(n), 0.0), rv(size_t(n), 0.0);
          for (int t = 1; t <= 3; ++t) {
            const Tensor grad = normal({n}, type, uint64_t(1 + t));
            kernels::UpdateItem item{p, grad, {m, v}, t};
            kernels::adam_({&item, 1}, {lr, b1, b2, eps, decay, decoupled});
            for (size_t i = 0; i < rp.size(); ++i) {
              double g = grad.to_vector()[i];
              if (decoupled)
                rp[i] *= 1 - lr * decay;
              else
                g += decay * rp[i];
              rm[i] = b1 * rm[i] + (1 - b1) * g;
              rv[i] = b2 * rv[i] + (1 - b2) * g * g;
              rp[i] -= lr / (1 - std::pow(b1, t)) * rm[i] /
                       (std::sqrt(rv[i]) / std::sqrt(1 - std::pow(b2, t)) + eps);
            }
          }
          CHECK(difference(p, Tensor::from({n}, rp).to(type)) <= tolerance(type));
          CHECK(difference(m, Tensor::from({n}, rm).to(type)) <= tolerance(type));
          CHECK(difference(v, Tensor::from({n}, rv).to(type)) <= tolerance(type));
        }
  });
}

TEST_CASE("optimizer: equal bits at any thread count") {
  const Tensor start = normal({50001}, DType::f32, 1), grad = normal({50001}, DType::f32, 2);
  CHECK(same_at_any_thread_count([&] {
    Tensor p = start.clone(), v = grad.clone();
    kernels::UpdateItem item{p, grad, {v}, 2};
    kernels::sgd_({&item, 1}, {0.1, 0.9, 0, 0.01, true});
    return p;
  }));
  CHECK(same_at_any_thread_count([&] {
    Tensor p = start.clone(), m = grad.clone(), v = Tensor::full({50001}, 1);
    kernels::UpdateItem item{p, grad, {m, v}, 7};
    kernels::adam_({&item, 1}, {0.1, 0.9, 0.99, 1e-8, 0.01, true});
    return p;
  }));
}

TEST_CASE("optimizer: the scale multiplies gradients; a step that is not finite changes nothing") {
  const kernels::SgdRule rule{0.5, 0.9, 0, 0, false};
  Tensor p = Tensor::full({5}, 3), v = Tensor::zeros({5});
  kernels::UpdateItem item{p, Tensor::full({5}, 8), {v}, 1};
  kernels::sgd_({&item, 1}, rule, Tensor::scalar(0.25, DType::f64));
  CHECK(p.to_vector() == std::vector<double>(5, 3 - 0.5 * 2));
  CHECK(v.to_vector() == std::vector<double>(5, 2));
  for (double bad : {double(NAN), double(INFINITY)}) {
    kernels::sgd_({&item, 1}, rule, Tensor::scalar(bad, DType::f64));
    CHECK(p.to_vector() == std::vector<double>(5, 2));
    CHECK(v.to_vector() == std::vector<double>(5, 2));
  }
}

TEST_CASE("optimizer: errors name what does not fit") {
  Tensor p = Tensor::zeros({3}), m = Tensor::zeros({3}), v = Tensor::zeros({3});
  const auto sgd = [&](const Tensor& grad, const Tensor& scale) {
    kernels::UpdateItem item{p, grad, {}, 1};
    kernels::sgd_({&item, 1}, {0.1, 0, 0, 0, false}, scale);
  };
  CHECK(error_of([&] { sgd(Tensor::zeros({4}), {}); }) == "sgd_: the operands are 3 and 4");
  CHECK(error_of([&] { sgd(p, Tensor::zeros({2}, DType::f64)); }) ==
        "sgd_: the gradients' scale is 2 f64, not one f64");
  CHECK(error_of([&] {
          kernels::UpdateItem item{p, m, {m, v}, 0};
          kernels::adam_({&item, 1}, {0.1, 0.9, 0.99, 1e-8, 0, false});
        }) == "adam_: steps count from 1, this one is 0");
}

// Update rules for the CPU: one pass over the parameter, its gradient and its state.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/optimizer/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <cmath>

#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/optimizer/optimizer.h"
#include "tensor/parallel.h"

#ifndef CAIRN_OPTIMIZER_TABLE
#define CAIRN_OPTIMIZER_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  void (*sgd)(int64_t n, T* p, const T* g, T* v, const SgdRule& rule);
  void (*adam)(int64_t n, T* p, const T* g, T* m, T* v, const AdamRule& rule);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void sgd(int64_t n, T* p, const T* g, T* v, const SgdRule& rule) {
  const T lr = T(rule.lr), decay = T(rule.weight_decay), momentum = T(rule.momentum);
  const T fresh = T(1 - rule.dampening);
  for_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto x = hn::LoadU(d, p + i);
    auto step = hn::MulAdd(hn::Set(d, decay), x, hn::LoadU(d, g + i));
    if (v) {
      auto velocity = step;
      if (!rule.first)
        velocity =
            hn::MulAdd(hn::Set(d, momentum), hn::LoadU(d, v + i), hn::Mul(hn::Set(d, fresh), step));
      hn::StoreU(velocity, d, v + i);
      step = rule.nesterov ? hn::MulAdd(hn::Set(d, momentum), velocity, step) : velocity;
    }
    hn::StoreU(hn::NegMulAdd(hn::Set(d, lr), step, x), d, p + i);
  });
}

template <class T>
void adam(int64_t n, T* p, const T* g, T* m, T* v, const AdamRule& rule) {
  const T beta1 = T(rule.beta1), beta2 = T(rule.beta2), eps = T(rule.eps);
  const T fresh1 = T(1 - rule.beta1), fresh2 = T(1 - rule.beta2);
  const T lr = T(rule.lr / (1 - std::pow(rule.beta1, double(rule.step))));
  const T root = T(1 / std::sqrt(1 - std::pow(rule.beta2, double(rule.step))));
  const T keep = rule.decoupled ? T(1 - rule.lr * rule.weight_decay) : T(1);
  const T decay = rule.decoupled ? T(0) : T(rule.weight_decay);
  for_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto x = hn::Mul(hn::LoadU(d, p + i), hn::Set(d, keep));
    const auto grad = hn::MulAdd(hn::Set(d, decay), x, hn::LoadU(d, g + i));
    const auto first =
        hn::MulAdd(hn::Set(d, beta1), hn::LoadU(d, m + i), hn::Mul(hn::Set(d, fresh1), grad));
    const auto second = hn::MulAdd(hn::Set(d, beta2), hn::LoadU(d, v + i),
                                   hn::Mul(hn::Set(d, fresh2), hn::Mul(grad, grad)));
    hn::StoreU(first, d, m + i);
    hn::StoreU(second, d, v + i);
    const auto below = hn::MulAdd(hn::Sqrt(second), hn::Set(d, root), hn::Set(d, eps));
    hn::StoreU(hn::NegMulAdd(hn::Set(d, lr), hn::Div(first, below), x), d, p + i);
  });
}

template <class T>
Table<T> make_table() {
  return {sgd<T>, adam<T>};
}
Table<float> table_f32() { return make_table<float>(); }
Table<double> table_f64() { return make_table<double>(); }

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
namespace {

CAIRN_EXPORT_TABLE(Table)

constexpr int64_t grain = 16384;

void require_like(const char* op, const Tensor& p, const Tensor& t) {
  require_same_dtype(op, p, t);
  require_same_shape(op, p, t);
}

}  // namespace

void sgd_(Tensor& p, const Tensor& grad, Tensor& v, const SgdRule& rule) {
  require_like("sgd_", p, grad);
  if (rule.momentum != 0) require_like("sgd_", p, v);
  dispatch_float(p.dtype(), "sgd_", [&]<class T>() {
    T* pp = p.data<T>();
    const T* pg = grad.data<T>();
    T* pv = rule.momentum != 0 ? v.data<T>() : nullptr;
    const auto kernel = table<T>().sgd;
    parallel_for(p.numel(), grain, [&](int64_t begin, int64_t end) {
      kernel(end - begin, pp + begin, pg + begin, pv ? pv + begin : nullptr, rule);
    });
  });
}

void adam_(Tensor& p, const Tensor& grad, Tensor& m, Tensor& v, const AdamRule& rule) {
  require_like("adam_", p, grad);
  require_like("adam_", p, m);
  require_like("adam_", p, v);
  require(rule.step >= 1, ErrorId::argument, "adam_", "steps count from 1, this one is ",
          rule.step);
  dispatch_float(p.dtype(), "adam_", [&]<class T>() {
    T *pp = p.data<T>(), *pm = m.data<T>(), *pv = v.data<T>();
    const T* pg = grad.data<T>();
    const auto kernel = table<T>().adam;
    parallel_for(p.numel(), grain, [&](int64_t begin, int64_t end) {
      kernel(end - begin, pp + begin, pg + begin, pm + begin, pv + begin, rule);
    });
  });
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

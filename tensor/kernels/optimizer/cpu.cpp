// Update rules for the CPU: one pass over the parameter, its gradient and its state.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/optimizer/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <cmath>
#include <utility>

#include "tensor/kernels/loops-inl.h"
#include "tensor/kernels/optimizer/coefficients.h"
#include "tensor/parallel.h"

#ifndef CAIRN_OPTIMIZER_TABLE
#define CAIRN_OPTIMIZER_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  /// g is multiplied by `scale`; v is null without momentum.
  void (*sgd)(int64_t n, T* p, const T* g, T scale, T* v, const SgdCoefficients<T>& k, bool first);
  void (*adam)(int64_t n, T* p, const T* g, T scale, T* m, T* v, const AdamCoefficients<T>& k,
               const AdamStep<T>& step);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void sgd(int64_t n, T* p, const T* g, T scale, T* v, const SgdCoefficients<T>& k, bool first) {
  for_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto x = hn::LoadU(d, p + i);
    const auto grad = hn::Mul(hn::LoadU(d, g + i), hn::Set(d, scale));
    auto step = hn::MulAdd(hn::Set(d, k.decay), x, grad);
    if (v) {
      auto velocity = step;
      if (!first)
        velocity = hn::MulAdd(hn::Set(d, k.momentum), hn::LoadU(d, v + i),
                              hn::Mul(hn::Set(d, k.fresh), step));
      hn::StoreU(velocity, d, v + i);
      step = k.nesterov ? hn::MulAdd(hn::Set(d, k.momentum), velocity, step) : velocity;
    }
    hn::StoreU(hn::NegMulAdd(hn::Set(d, k.lr), step, x), d, p + i);
  });
}

template <class T>
void adam(int64_t n, T* p, const T* g, T scale, T* m, T* v, const AdamCoefficients<T>& k,
          const AdamStep<T>& step) {
  for_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto x = hn::Mul(hn::LoadU(d, p + i), hn::Set(d, k.keep));
    const auto grad =
        hn::MulAdd(hn::Set(d, k.decay), x, hn::Mul(hn::LoadU(d, g + i), hn::Set(d, scale)));
    const auto first =
        hn::MulAdd(hn::Set(d, k.beta1), hn::LoadU(d, m + i), hn::Mul(hn::Set(d, k.fresh1), grad));
    const auto second = hn::MulAdd(hn::Set(d, k.beta2), hn::LoadU(d, v + i),
                                   hn::Mul(hn::Set(d, k.fresh2), hn::Mul(grad, grad)));
    hn::StoreU(first, d, m + i);
    hn::StoreU(second, d, v + i);
    const auto below = hn::MulAdd(hn::Sqrt(second), hn::Set(d, step.root), hn::Set(d, k.eps));
    hn::StoreU(hn::NegMulAdd(hn::Set(d, step.lr), hn::Div(first, below), x), d, p + i);
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

void check(const char* op, std::span<const UpdateItem> items, const Tensor& scale, int moments) {
  for (const UpdateItem& item : items) {
    const auto require_like = [&](const Tensor& t) {
      require_same_dtype(op, item.p, t);
      require_same_shape(op, item.p, t);
    };
    require_same_dtype(op, items[0].p, item.p);
    require_like(item.grad);
    for (int i = 0; i < moments; ++i) require_like(item.moments[i]);
    require(item.step >= 1, ErrorId::argument, op, "steps count from 1, this one is ", item.step);
  }
  if (!scale.defined() || items.empty()) return;
  require_same_device(op, items[0].p, scale);
  require(scale.dtype() == DType::f64 && scale.numel() == 1, ErrorId::dtype, op,
          "the gradients' scale is ", scale.shape(), " ", scale.dtype(), ", not one f64");
}

/// Calls f(item, factor, begin, end) for chunks of every item; not at all if the scale is not
/// finite.
template <class F>
void each_chunk(std::span<UpdateItem> items, const Tensor& scale, F&& f) {
  const double factor = scale.defined() ? scale.item() : 1;
  if (!std::isfinite(factor)) return;
  for (UpdateItem& item : items)
    parallel_for(item.p.numel(), grain,
                 [&](int64_t begin, int64_t end) { f(item, factor, begin, end); });
}

}  // namespace

void sgd_(std::span<UpdateItem> items, const SgdRule& rule, const Tensor& scale) {
  const bool moving = rule.momentum != 0;
  check("sgd_", items, scale, moving ? 1 : 0);
  if (items.empty()) return;
  if (items[0].p.on_gpu()) return cuda::sgd_(items, rule, scale);
  dispatch_float(items[0].p.dtype(), "sgd_", [&]<class T>() {
    const SgdCoefficients<T> k(rule);
    const auto kernel = table<T>().sgd;
    each_chunk(items, scale, [&](UpdateItem& item, double factor, int64_t begin, int64_t end) {
      kernel(end - begin, item.p.data<T>() + begin, std::as_const(item.grad).data<T>() + begin,
             T(factor), moving ? item.moments[0].data<T>() + begin : nullptr, k, item.step == 1);
    });
  });
}

void adam_(std::span<UpdateItem> items, const AdamRule& rule, const Tensor& scale) {
  check("adam_", items, scale, 2);
  if (items.empty()) return;
  if (items[0].p.on_gpu()) return cuda::adam_(items, rule, scale);
  dispatch_float(items[0].p.dtype(), "adam_", [&]<class T>() {
    const AdamCoefficients<T> k(rule);
    const auto kernel = table<T>().adam;
    each_chunk(items, scale, [&](UpdateItem& item, double factor, int64_t begin, int64_t end) {
      kernel(end - begin, item.p.data<T>() + begin, std::as_const(item.grad).data<T>() + begin,
             T(factor), item.moments[0].data<T>() + begin, item.moments[1].data<T>() + begin, k,
             AdamStep<T>(rule, item.step));
    });
  });
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

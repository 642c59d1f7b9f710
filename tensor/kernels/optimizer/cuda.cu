// Update rules on the GPU: the addresses of all parameters travel as the kernel's argument, blocks
// are shared out among the parameters by size.
#include <cmath>
#include <utility>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/optimizer/coefficients.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

constexpr int most_items = 448;  // a kernel takes at most 32764 bytes of arguments
constexpr int64_t chunk = 4096;  // elements of a block

template <class T>
struct Table {
  T *p[most_items], *m[most_items], *v[most_items];
  const T* g[most_items];
  int64_t n[most_items];
  AdamStep<T> adam[most_items];
  int32_t first_block[most_items + 1];
  bool first_step[most_items];
  int count;
};
static_assert(sizeof(Table<double>) < 32000);

template <class T>
struct Element {
  T p, g, m, v;
};

template <class T>
struct Sgd {
  SgdCoefficients<T> k;
  __device__ void operator()(Element<T>& e, const AdamStep<T>&, bool first) const {
    T step = std::fma(k.decay, e.p, e.g);
    if (k.moving) {
      e.m = first ? step : std::fma(k.momentum, e.m, k.fresh * step);
      step = k.nesterov ? std::fma(k.momentum, e.m, step) : e.m;
    }
    e.p = std::fma(-k.lr, step, e.p);
  }
};

template <class T>
struct Adam {
  AdamCoefficients<T> k;
  __device__ void operator()(Element<T>& e, const AdamStep<T>& at, bool) const {
    const T x = e.p * k.keep, g = std::fma(k.decay, x, e.g);
    e.m = std::fma(k.beta1, e.m, k.fresh1 * g);
    e.v = std::fma(k.beta2, e.v, k.fresh2 * (g * g));
    e.p = std::fma(-at.lr, e.m / std::fma(std::sqrt(e.v), at.root, k.eps), x);
  }
};

template <class T, class Rule>
__global__ void update_kernel(Table<T> table, Rule rule, const double* scale) {
  if (scale && !(*scale - *scale == 0)) return;  // not finite
  const T factor = scale ? T(*scale) : T(1);
  int i = 0, high = table.count;  // the parameter whose blocks include this one
  while (high - i > 1) {
    const int middle = (i + high) / 2;
    (table.first_block[middle] <= int(blockIdx.x) ? i : high) = middle;
  }
  T *p = table.p[i], *m = table.m[i], *v = table.v[i];
  const T* g = table.g[i];
  const AdamStep<T> step = table.adam[i];
  const bool first = table.first_step[i];
  const int64_t begin = (int64_t(blockIdx.x) - table.first_block[i]) * chunk;
  const int64_t end = begin + chunk < table.n[i] ? begin + chunk : table.n[i];
  constexpr int size = Pack<T>::size;
  int64_t at = begin + int64_t(threadIdx.x) * size;
  for (; at + size <= end; at += int64_t(blockDim.x) * size) {
    Pack<T> pp = load<size>(p + at), pm{}, pv{};
    const Pack<T> pg = load<size>(g + at);
    if (m) pm = load<size>(m + at);
    if (v) pv = load<size>(v + at);
    for (int k = 0; k < size; ++k) {
      Element<T> e{pp.at[k], pg.at[k] * factor, pm.at[k], pv.at[k]};
      rule(e, step, first);
      pp.at[k] = e.p;
      pm.at[k] = e.m;
      pv.at[k] = e.v;
    }
    store(p + at, pp);
    if (m) store(m + at, pm);
    if (v) store(v + at, pv);
  }
  for (; at < end; ++at) {  // the one thread whose pack would reach beyond the end
    Element<T> e{p[at], g[at] * factor, m ? m[at] : T(0), v ? v[at] : T(0)};
    rule(e, step, first);
    p[at] = e.p;
    if (m) m[at] = e.m;
    if (v) v[at] = e.v;
  }
}

/// Starts the rule for all items, `most_items` at a time. `step_of` gives what depends on the step.
template <class T, class Rule, class StepOf>
void update(const char* name, std::span<UpdateItem> items, Rule rule, const Tensor& scale,
            StepOf step_of) {
  for (size_t first = 0; first < items.size(); first += most_items) {
    Table<T> table{};
    for (UpdateItem& item :
         items.subspan(first, std::min<size_t>(most_items, items.size() - first))) {
      const int i = table.count++;
      const auto moment = [](Tensor& t) { return t.defined() ? t.device_data<T>() : nullptr; };
      table.p[i] = item.p.device_data<T>();
      table.g[i] = std::as_const(item.grad).device_data<T>();
      table.m[i] = moment(item.moments[0]);
      table.v[i] = moment(item.moments[1]);
      table.n[i] = item.p.numel();
      table.adam[i] = step_of(item.step);
      table.first_step[i] = item.step == 1;
      table.first_block[i + 1] =
          table.first_block[i] + int32_t((item.p.numel() + chunk - 1) / chunk);
    }
    launch(name, update_kernel<T, Rule>, dim3(unsigned(table.first_block[table.count])),
           block_threads, table, rule, scale.defined() ? scale.device_data<double>() : nullptr);
  }
}

}  // namespace

void sgd_(std::span<UpdateItem> items, const SgdRule& rule, const Tensor& scale) {
  dispatch_float(items[0].p.dtype(), "sgd_", [&]<class T>() {
    update<T>("sgd_", items, Sgd<T>{SgdCoefficients<T>(rule)}, scale,
              [](int64_t) { return AdamStep<T>(); });
  });
}

void adam_(std::span<UpdateItem> items, const AdamRule& rule, const Tensor& scale) {
  dispatch_float(items[0].p.dtype(), "adam_", [&]<class T>() {
    update<T>("adam_", items, Adam<T>{AdamCoefficients<T>(rule)}, scale,
              [&](int64_t step) { return AdamStep<T>(rule, step); });
  });
}

}  // namespace cairn::kernels::cuda

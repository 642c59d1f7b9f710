#include "tensor/kernels/optimizer/optimizer.h"

#include "tests/cuda/gpu.h"

using namespace cairn;
using kernels::UpdateItem;

namespace {

/// Three steps over parameters of several sizes, more than one launch takes; on `device`.
template <class Step>
std::vector<Tensor> three_steps(DType type, Device device, int moments, Step step) {
  std::vector<UpdateItem> items;
  for (int64_t i = 0; i < 460; ++i) {
    const int64_t n = i == 7 ? 9001 : i == 8 ? 4096 : i % 6;
    UpdateItem item{normal({n}, type, uint64_t(i)).to(device), {}, {}, 0};
    for (int k = 0; k < moments; ++k) item.moments[k] = Tensor::zeros({n}, type, device);
    items.push_back(item);
  }
  for (int64_t t = 1; t <= 3; ++t) {
    for (size_t i = 0; i < items.size(); ++i) {
      items[i].grad = normal(items[i].p.shape(), type, uint64_t(1000 * t) + i).to(device);
      items[i].step = i % 2 ? t : t + 4;
    }
    step(items, Tensor::scalar(0.5, DType::f64).to(device));
  }
  std::vector<Tensor> all;
  for (const UpdateItem& item : items) {
    all.push_back(here(item.p));
    for (int k = 0; k < moments; ++k) all.push_back(here(item.moments[k]));
  }
  return all;
}

template <class Step>
void check_rule(int moments, Step step) {
  for (DType type : {DType::f32, DType::f64}) {
    const auto cpu = three_steps(type, Device::cpu, moments, step);
    const auto gpu = three_steps(type, Device::cuda, moments, step);
    for (size_t i = 0; i < cpu.size(); ++i) CHECK(difference(gpu[i], cpu[i]) <= tolerance(type));
  }
}

}  // namespace

TEST_CASE("gpu optimisers: all parameters in one call, as on the CPU") {
  for (int mode = 0; mode < 4; ++mode) {
    const double momentum = mode & 1 ? 0.9 : 0;
    const bool nesterov = mode == 3;
    check_rule(momentum != 0, [&](std::span<UpdateItem> items, const Tensor& scale) {
      kernels::sgd_(items, {0.1, momentum, nesterov ? 0 : 0.25, 0.01, nesterov}, scale);
    });
  }
  for (bool decoupled : {false, true})
    check_rule(2, [&](std::span<UpdateItem> items, const Tensor& scale) {
      kernels::adam_(items, {0.1, 0.9, 0.99, 1e-3, 0.05, decoupled}, scale);
    });
}

TEST_CASE("gpu optimisers: a scale that is not finite changes nothing") {
  for (double bad : {double(NAN), double(INFINITY)}) {
    const Tensor p = normal({100}, DType::f32, 1);
    UpdateItem item{there(p), there(p), {}, 1};
    kernels::sgd_({&item, 1}, {0.1, 0, 0, 0.1, false}, there(Tensor::scalar(bad, DType::f64)));
    CHECK(same_bits(here(item.p), p));
  }
}

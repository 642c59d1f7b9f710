#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/limits/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "tensor/kernels/limits/limits.h"
#include "tensor/parallel.h"
#include "tensor/simd.h"
#include "tensor/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// `rounds` multiply-adds of each of twelve vectors, enough to hide how long each takes. Returns
/// how many FLOP those were; the sums go to `out`, so that they are made.
[[maybe_unused]] static double multiply_add(int64_t rounds, float* out) {
  const hn::ScalableTag<float> d;
  constexpr int n = 12;
  hn::Vec<decltype(d)> sum[n];
  const auto a = hn::Set(d, 0.999f), b = hn::Set(d, 1e-3f);
#pragma GCC unroll 12
  for (int i = 0; i < n; ++i) sum[i] = hn::Set(d, float(i));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < n; ++i) sum[i] = hn::MulAdd(sum[i], a, b);
  }
  auto all = sum[0];
  for (int i = 1; i < n; ++i) all = hn::Add(all, sum[i]);
  *out = hn::GetLane(hn::SumOfLanes(d, all));
  return 2.0 * n * double(rounds) * double(hn::Lanes(d));
}

}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
HWY_EXPORT(multiply_add);

namespace {

/// The fastest of some runs, in seconds: a limit is what was once reached.
template <class F>
double fastest(int runs, const F& run) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
  }
  return best;
}

}  // namespace

MachineLimits measure_limits() {
  MachineLimits limits;
  const int64_t threads = num_threads();
  Tensor results = Tensor::empty({threads * 16});
  float* const out = results.data<float>();
  double flop = 0;
  const double seconds = fastest(10, [&] {
    parallel_for(threads, 1, [&](int64_t t, int64_t) {
      const double mine = CAIRN_SIMD_DISPATCH(multiply_add)(1 << 20, out + 16 * t);
      if (t == 0) flop = mine * double(threads);
    });
  });
  limits.gflops = 1e-9 * flop / seconds;

  const int64_t bytes = 64 << 20, chunk = 1 << 20;
  Tensor from = Tensor::zeros({bytes}, DType::u8), to = Tensor::zeros({bytes}, DType::u8);
  const uint8_t* const a = from.data<uint8_t>();
  uint8_t* const b = to.data<uint8_t>();
  const double copy = fastest(4, [&] {
    parallel_for(bytes, chunk, [&](int64_t begin, int64_t end) {
      std::memcpy(b + begin, a + begin, size_t(end - begin));
    });
  });
  limits.gbytes_per_s = 2e-9 * double(bytes) / copy;
  return limits;
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

// Ways to run a kernel that must not change its result: every instruction set, any thread count.
#pragma once

#include <doctest/doctest.h>

#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/simd.h"
#include "tests/compare.h"
#include "tests/errors.h"

namespace cairn {

/// Runs f under each instruction set that this machine has, then goes back to the one before.
template <class F>
void each_simd_target(const F& f) {
  const std::string before = simd_target();
  for (const std::string& target : simd_targets()) {
    CAPTURE(target);
    set_simd_target(target);
    f();
  }
  set_simd_target(before);
}

/// True if the tensor that f returns has the same bits with 1, 2 and 7 threads.
template <class F>
bool same_at_any_thread_count(const F& f) {
  const int before = num_threads();
  set_num_threads(1);
  const Tensor one = f();
  bool same = true;
  for (int threads : {2, 7}) {
    set_num_threads(threads);
    same = same && same_bits(f(), one);
  }
  set_num_threads(before);
  return same;
}

/// What a float result may differ by, and what a double one may.
inline double tolerance(DType type) { return type == DType::f32 ? 2e-5 : 1e-12; }

inline Tensor normal(const Shape& shape, DType type, uint64_t seed, double mean = 0) {
  Random random(seed);
  return random_normal(shape, random, mean, 1, type);
}

}  // namespace cairn

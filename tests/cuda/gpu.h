// Running something on the GPU and looking at the result on the CPU.
#pragma once

#include <doctest/doctest.h>

#include "tensor/cuda/runtime.h"
#include "tests/compare.h"
#include "tests/tensor/grid.h"

namespace cairn {

inline Tensor there(const Tensor& t) { return t.defined() ? t.to(Device::cuda) : t; }
inline Tensor here(const Tensor& t) { return t.defined() ? t.to(Device::cpu) : t; }

/// f(operands...) computed on the GPU.
template <class F>
Tensor on_gpu(const F& f, const auto&... operands) {
  const Tensor result = f(there(operands)...);
  CHECK(result.on_gpu());
  return here(result);
}

/// How far the GPU's f(operands...) is from the CPU's, as difference() counts.
template <class F>
double gap(const F& f, const auto&... operands) {
  return difference(on_gpu(f, operands...), f(operands...));
}

/// While it lives, the own kernels run, also where the libraries are.
struct OwnKernels {
  bool before = cuda::use_libraries();
  OwnKernels() { cuda::set_use_libraries(false); }
  ~OwnKernels() { cuda::set_use_libraries(before); }
};

}  // namespace cairn

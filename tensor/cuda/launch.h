// What every .cu file includes. A kernel starts through launch(), not through <<<>>>: nvcc starts
// it on the GPU, any other compiler runs it in the emulation, so each kernel is tested without a
// GPU.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "tensor/cuda/runtime.h"
#include "tensor/tensor.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>

#include "tensor/cuda/stream.h"
#else
#include "tensor/cuda/emulation.h"
#endif

namespace cairn::cuda {

/// Runs kernel(args...) on `grid` blocks of `block` threads, in the order of the stream; nothing if
/// the grid is empty. `name` is for error messages.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, A&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#ifdef __CUDACC__
  kernel<<<grid, block, 0, stream()>>>(P(std::forward<A>(args))...);
#else
  do_or_record([=] { emulation::run(name, grid, block, [=] { kernel(P(args)...); }); });
#endif
  detail::started(name);
}

constexpr int block_threads = 256;  ///< of kernels without a reason for another number

/// Blocks of `per_block` items that cover n items; at most `most`, then kernels loop on.
inline dim3 blocks_for(int64_t n, int64_t per_block = block_threads, int64_t most = 1 << 20) {
  const int64_t blocks = (n + per_block - 1) / per_block;
  return dim3(static_cast<unsigned>(blocks < most ? blocks : most));
}

/// This thread's number in a one-dimensional grid, and how many threads there are.
__device__ inline int64_t thread_number() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return int64_t(gridDim.x) * blockDim.x; }

/// What is there now, though other blocks may be changing it by atomics.
template <class T>
__device__ inline T relaxed_load(T* at) {
#ifdef __CUDACC__
  return *static_cast<volatile T*>(at);
#else
  return std::atomic_ref<T>(*at).load(std::memory_order_relaxed);
#endif
}

/// bf16 is stored as such and computed in float.
template <class S>
using compute_t = std::conditional_t<std::is_same_v<S, bf16_t>, float, S>;

/// Neighbouring elements that a thread reads and writes together, at an address that divides by
/// their size or by 16 bytes.
template <class S, int n>
struct alignas(n * sizeof(S) < 16 ? n * sizeof(S) : 16) Few {
  static constexpr int size = n;
  S at[n];
};
/// 16 bytes of them: the widest access there is.
template <class S>
using Pack = Few<S, 16 / int(sizeof(S))>;

template <int n, class S>
__device__ inline Few<S, n> load(const S* at) {
  return *reinterpret_cast<const Few<S, n>*>(at);
}
template <class S, int n>
__device__ inline void store(S* at, const Few<S, n>& few) {
  *reinterpret_cast<Few<S, n>*>(at) = few;
}

/// The sum over a group of `lanes` neighbouring threads (a power of two, at most 32), in each of
/// them. All threads of the warp must come here.
template <class C>
__device__ inline C group_sum(C value, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}
template <class C>
__device__ inline C group_max(C value, int lanes) {  // a NaN stays
  for (int step = lanes / 2; step > 0; step /= 2) {
    const C other = __shfl_xor_sync(0xffffffffu, value, step);
    value = other > value || other != other ? other : value;
  }
  return value;
}

/// The smallest power of two that is at least n, within [1, 32]: threads that share a row.
inline int lanes_for(int64_t n) {
  int lanes = 1;
  while (lanes < 32 && lanes < n) lanes *= 2;
  return lanes;
}

/// Calls f with the element types that kernels compute on: float, double, and bf16 if stored so.
template <class F>
void dispatch_device(DType type, const char* op, F&& f) {
  if (type == DType::bf16) return f.template operator()<bf16_t>();
  dispatch_float(type, op, f);
}

}  // namespace cairn::cuda

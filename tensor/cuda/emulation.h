// CUDA on the CPU, for tests: blocks run one after another on each core, and the threads of a block
// are fibers that take turns at barriers. Covers what Cairn's kernels use of CUDA, and no more.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <set>
#include <string>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local  // a block runs on one thread of the CPU
#define __syncthreads() ::cairn::cuda::emulation::block_barrier()
#define __syncwarp() ::cairn::cuda::emulation::warp_barrier()

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

namespace cairn::cuda {
/// Does the work, or, within record(), keeps it.
void do_or_record(std::function<void()> work);
}  // namespace cairn::cuda

namespace cairn::cuda::emulation {

/// Runs `thread` for every thread of every block. Throws ErrorId::device when some threads of a
/// block wait at a barrier that others never reach.
void run(const char* kernel, dim3 grid, dim3 block, const std::function<void()>& thread);

/// The names of all kernels and libraries that were started or asked since the last call.
std::set<std::string> journal();

void block_barrier();
void warp_barrier();
/// Where thread `lane` of this warp puts a value for the others.
void* warp_slot(unsigned lane);
unsigned lane();

/// A bit for each thread of this warp that brought true; 0 for those that have ended.
unsigned ballot(bool value);

/// The value that thread `from` of this warp brought to the same call.
template <class T>
T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= 8);
  std::memcpy(warp_slot(lane()), &value, sizeof(T));
  warp_barrier();
  std::memcpy(&value, warp_slot(from % 32), sizeof(T));
  warp_barrier();  // before the slots are written again
  return value;
}

}  // namespace cairn::cuda::emulation

template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return cairn::cuda::emulation::exchange(value, unsigned(from));
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return cairn::cuda::emulation::exchange(value, cairn::cuda::emulation::lane() ^ unsigned(mask));
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned by) {
  const unsigned lane = cairn::cuda::emulation::lane();
  return cairn::cuda::emulation::exchange(value, lane + by < 32 ? lane + by : lane);
}

inline unsigned __ballot_sync(unsigned, bool value) {
  return cairn::cuda::emulation::ballot(value);
}
inline int __ffs(int bits) { return __builtin_ffs(bits); }

// Of integers only: their result does not depend on the order.
template <class T>
T atomicAdd(T* at, T value) {
  static_assert(std::is_integral_v<T>);
  return std::atomic_ref<T>(*at).fetch_add(value);
}
template <class T>
T atomicMin(T* at, T value) {
  static_assert(std::is_integral_v<T>);
  std::atomic_ref<T> ref(*at);
  T old = ref.load();
  while (value < old && !ref.compare_exchange_weak(old, value)) {
  }
  return old;
}
template <class T>
T atomicMax(T* at, T value) {
  static_assert(std::is_integral_v<T>);
  std::atomic_ref<T> ref(*at);
  T old = ref.load();
  while (value > old && !ref.compare_exchange_weak(old, value)) {
  }
  return old;
}

// The emulation itself: what it promises to kernels. Not part of the tests on a real GPU.
#include "tensor/cuda/emulation.h"

#include <doctest/doctest.h>

#include <vector>

#include "tensor/cuda/launch.h"
#include "tests/errors.h"

using namespace cairn;
using namespace cairn::cuda;

namespace {

__global__ void numbers_kernel(int* blocks, int* threads) {
  const int at = int((blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x * blockDim.y +
                     threadIdx.y * blockDim.x + threadIdx.x);
  blocks[at] = int(blockIdx.y * gridDim.x + blockIdx.x);
  threads[at] = int(threadIdx.y * blockDim.x + threadIdx.x);
}

/// Each thread writes its own place and then reads its neighbour's, in both directions.
__global__ void rotate_kernel(int rounds, int* values) {
  __shared__ int shared[64];
  int mine = values[threadIdx.x];
  for (int r = 0; r < rounds; ++r) {
    shared[threadIdx.x] = mine;
    __syncthreads();
    mine = shared[(threadIdx.x + (r % 2 ? 1 : blockDim.x - 1)) % blockDim.x];
    __syncthreads();
  }
  values[threadIdx.x] = mine;
}

__global__ void warp_kernel(int* sums, int* downs, unsigned* votes) {
  int sum = int(threadIdx.x);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  sums[threadIdx.x] = sum;
  downs[threadIdx.x] = __shfl_down_sync(0xffffffffu, int(threadIdx.x), 3);
  votes[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
}

__global__ void early_kernel(int* count) {
  if (threadIdx.x % 2) return;
  __syncthreads();  // of those that are left
  atomicAdd(count, 1);
}

__global__ void mixed_kernel() {
  if (threadIdx.x % 2)
    __syncthreads();
  else
    __syncwarp();
}

}  // namespace

TEST_CASE("emulation: every thread of every block runs once and knows its place") {
  std::vector<int> blocks(6 * 40, -1), threads(6 * 40, -1);
  launch("numbers", numbers_kernel, dim3(3, 2), dim3(8, 5), blocks.data(), threads.data());
  for (int i = 0; i < 240; ++i) {
    CHECK(blocks[size_t(i)] == i / 40);
    CHECK(threads[size_t(i)] == i % 40);
  }
}

TEST_CASE("emulation: what is written before a barrier is read after it") {
  std::vector<int> values(64);
  for (int i = 0; i < 64; ++i) values[size_t(i)] = i;
  launch("rotate", rotate_kernel, 1, 64, 5, values.data());
  for (int i = 0; i < 64; ++i) CHECK(values[size_t(i)] == (i + 63) % 64);
}

TEST_CASE("emulation: shuffles and votes are those of a warp") {
  std::vector<int> sums(64), downs(64);
  std::vector<unsigned> votes(64);
  launch("warp", warp_kernel, 1, 64, sums.data(), downs.data(), votes.data());
  for (int i = 0; i < 64; ++i) {
    CHECK(sums[size_t(i)] == (i < 32 ? 496 : 1520));
    CHECK(downs[size_t(i)] == (i % 32 < 29 ? i + 3 : i));
    unsigned expected = 0;
    for (int lane = 0; lane < 32; ++lane)
      if ((i / 32 * 32 + lane) % 3 == 0) expected |= 1u << lane;
    CHECK(votes[size_t(i)] == expected);
  }
}

TEST_CASE("emulation: threads that have ended are not waited for") {
  int count = 0;
  launch("early", early_kernel, 1, 64, &count);
  CHECK(count == 32);
}

TEST_CASE("emulation: threads at different barriers are an error, not a hang") {
  CHECK(error_of(ErrorId::device, [] { launch("mixed", mixed_kernel, 1, 32); }) ==
        "mixed: some threads wait where others never come");
  int count = 0;  // and the next kernel runs
  launch("early", early_kernel, 1, 64, &count);
  CHECK(count == 32);
}

TEST_CASE("emulation: an empty grid runs nothing, too large a block is refused") {
  int count = 0;
  launch("early", early_kernel, 0, 64, &count);
  CHECK(count == 0);
  CHECK(error_of(ErrorId::device, [&] { launch("early", early_kernel, 1, 1025, &count); }) ==
        "early: 1025 threads in a block");
}

#include "tensor/device.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>

#include "tensor/tensor.h"
#include "tests/tensor/grid.h"

using namespace cairn;

TEST_CASE("allocate: aligned to a cache line, also for no bytes at all") {
  for (int64_t bytes : {0, 1, 63, 64, 65, 100000}) {
    void* block = allocate(Device::cpu, bytes);
    CHECK(block != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(block) % 64 == 0);
    release(Device::cpu, block);
  }
}

TEST_CASE("memory is counted: live while in use, peak until reset") {
  empty_cache(Device::cpu);
  const int64_t before = memory_stats(Device::cpu).live;
  reset_peak_memory(Device::cpu);
  {
    const Tensor t = Tensor::zeros({1000, 1000});
    CHECK(memory_stats(Device::cpu).live == before + 4000000);
    const Tensor shared = t.reshape({-1});  // no bytes of its own
    CHECK(memory_stats(Device::cpu).live == before + 4000000);
  }
  CHECK(memory_stats(Device::cpu).live == before);
  CHECK(memory_stats(Device::cpu).peak == before + 4000000);
  reset_peak_memory(Device::cpu);
  CHECK(memory_stats(Device::cpu).peak == before);
}

TEST_CASE("empty_cache gives everything back") {
  { const Tensor t = Tensor::zeros({1000}); }
  empty_cache(Device::cpu);
  CHECK(memory_stats(Device::cpu).cached == 0);
}

TEST_CASE("after empty_cache, what was live before no longer counts") {
  { const Tensor large = Tensor::empty({100'000'000}, DType::u8); }
  empty_cache(Device::cpu);
  const int64_t before = memory_stats(Device::cpu).live;
  for (int64_t n = 10'000'000; n <= 20'000'000; n += 1'000'000) Tensor::empty({n}, DType::u8);
  CHECK(memory_stats(Device::cpu).cached <= 2 * (before + 20'000'064));
}

TEST_CASE("sizes that come once do not pile up in the cache") {
  empty_cache(Device::cpu);
  int64_t largest = 0;
  for (int64_t n = 1'000'000; n < 40'000'000; n += 1'000'000) {
    const Tensor t = Tensor::empty({n}, DType::u8);
    largest = std::max(largest, memory_stats(Device::cpu).live);
    const MemoryStats now = memory_stats(Device::cpu);
    CHECK(now.live + now.cached <= 2 * std::max(largest, now.peak));
  }
  CHECK(memory_stats(Device::cpu).cached <= 2 * largest);
}

TEST_CASE("allocate: a size that no machine has is refused") {
  CHECK_THROWS_AS(allocate(Device::cpu, -1), Error);
  CHECK(error_of([] { allocate(Device::cpu, int64_t(1) << 62); }) ==
        "allocate: a block of 4611686018427387904 bytes was asked for");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which end the program
TEST_CASE("allocate: what cannot be had is an error that says how much is in use") {
  try {
    allocate(Device::cpu, int64_t(1) << 61);
    FAIL("two exbibytes were found");
  } catch (const Error& e) {
    CHECK(e.id() == ErrorId::memory);
    CHECK(std::string(e.what()).find("bytes live, 0 cached, peak") != std::string::npos);
  }
  CHECK_THROWS_AS(allocate(Device::cpu, (int64_t(1) << 62) - 1), Error);
}
#endif

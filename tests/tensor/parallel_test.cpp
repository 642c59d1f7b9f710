#include "tensor/parallel.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/tensor/grid.h"

using namespace cairn;

namespace {

using Chunks = std::vector<std::pair<int64_t, int64_t>>;

Chunks chunks_of(int64_t n, int64_t grain) {
  std::mutex mutex;
  Chunks chunks;
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    std::lock_guard lock(mutex);
    chunks.emplace_back(begin, end);
  });
  std::ranges::sort(chunks);
  return chunks;
}

/// Sets the thread count for one test.
struct Threads {
  int before = num_threads();
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
};

}  // namespace

TEST_CASE("parallel_for: chunks depend on the size and the grain alone") {
  for (int threads : {1, 2, 7}) {
    Threads scope(threads);
    CAPTURE(threads);
    CHECK(chunks_of(10, 4) == Chunks{{0, 4}, {4, 8}, {8, 10}});
    CHECK(chunks_of(8, 4) == Chunks{{0, 4}, {4, 8}});
    CHECK(chunks_of(3, 4) == Chunks{{0, 3}});
    CHECK(chunks_of(0, 4).empty());
    CHECK(int64_t(chunks_of(1001, 10).size()) == num_chunks(1001, 10));
  }
}

TEST_CASE("parallel_for: really uses the threads") {
  Threads scope(2);
  // Each of two chunks waits for the other, which only two threads can do.
  std::atomic<int> arrived{0};
  parallel_for(2, 1, [&](int64_t, int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("parallel_for: returns only when the last chunk is done, whoever has it") {
  Threads scope(2);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> arrived{0}, done{0};
  parallel_for(2, 1, [&](int64_t, int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();  // so that each thread has one
    if (std::this_thread::get_id() != caller)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ++done;
  });
  CHECK(done == 2);
}

TEST_CASE("parallel_for: an exception of a chunk comes out, and the pool lives on") {
  for (int threads : {1, 3}) {
    Threads scope(threads);
    CHECK(error_of([] {
            parallel_for(100, 1, [](int64_t begin, int64_t) {
              require(begin != 50, ErrorId::argument, "test", "fifty");
            });
          }) == "test: fifty");
    CHECK(chunks_of(100, 1).size() == 100);
  }
}

TEST_CASE("parallel_for: inside a chunk it runs serially, in order") {
  Threads scope(3);
  std::atomic<int> wrong{0};
  parallel_for(6, 1, [&](int64_t, int64_t) {
    const auto outer = std::this_thread::get_id();
    int64_t next = 0;
    parallel_for(10, 3, [&](int64_t begin, int64_t end) {
      if (std::this_thread::get_id() != outer || begin != next) ++wrong;
      next = end;
    });
    if (next != 10) ++wrong;
  });
  CHECK(wrong == 0);
}

TEST_CASE("parallel_for: several callers at once all finish") {
  Threads scope(2);
  std::atomic<int64_t> total{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        parallel_for(10, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
    });
  for (auto& caller : callers) caller.join();
  CHECK(total == 4 * 200 * 10);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need their memory
TEST_CASE("parallel_for: works with fewer threads where the system gives no more") {
  Threads scope(64);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlimit none = before;
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  none.rlim_cur = pages * 4096 + (1 << 20);  // no room for a stack
  REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
  std::atomic<int64_t> total{0};
  parallel_for(100, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(total == 100);
}
#endif

TEST_CASE("parallel_for: refuses a grain or a thread count that makes no sense") {
  CHECK(error_of([] { parallel_for(5, 0, [](int64_t, int64_t) {}); }) ==
        "parallel_for: the grain is 0");
  CHECK(error_of([] { set_num_threads(0); }) == "set_num_threads: at least one thread, not 0");
}

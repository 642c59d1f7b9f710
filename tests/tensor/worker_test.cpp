#include "tensor/worker.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "tests/errors.h"

using namespace cairn;

TEST_CASE("a worker runs its tasks in order, in another thread") {
  std::vector<int> order;
  std::thread::id thread;
  Worker worker(2);
  for (int k = 0; k < 100; ++k)
    worker.post([&, k] {
      order.push_back(k);
      thread = std::this_thread::get_id();
    });
  worker.finish();
  REQUIRE(order.size() == 100);
  for (int k = 0; k < 100; ++k) CHECK(order[size_t(k)] == k);
  CHECK(thread != std::this_thread::get_id());
}

TEST_CASE("post waits while there is no room") {
  std::atomic<bool> go{false};
  std::atomic<int> posted{0};
  Worker worker(2);
  std::thread caller([&] {
    for (int k = 0; k < 4; ++k) {
      worker.post([&] {
        while (!go) std::this_thread::yield();
      });
      ++posted;
    }
  });
  while (posted < 3) std::this_thread::yield();  // one runs, two wait
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(posted == 3);
  go = true;
  caller.join();
  worker.finish();
  CHECK(posted == 4);
}

TEST_CASE("what a task throws comes out of post and finish, and no later task runs") {
  std::atomic<int> ran{0};
  Worker worker(8);
  worker.post([] { throw std::runtime_error("the third stage failed"); });
  CHECK_THROWS_WITH(
      [&] {
        for (;;) worker.post([&] { ++ran; });
      }(),
      "the third stage failed");
  CHECK_THROWS_WITH(worker.finish(), "the third stage failed");
  CHECK(ran == 0);
}

TEST_CASE("a worker that goes drops what waits") {
  std::atomic<bool> started{false}, go{false};
  std::atomic<int> ran{0};
  std::thread opener;
  {
    Worker worker(8);
    worker.post([&] {
      started = true;
      while (!go) std::this_thread::yield();
    });
    while (!started) std::this_thread::yield();
    worker.post([&] { ++ran; });
    opener = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the destructor waits by then
      go = true;
    });
  }
  opener.join();
  CHECK(ran == 0);
}

#include "data/loader.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <set>

using namespace cairn;

namespace {

/// Pairs that only tell how they were made: image0 holds the index and a random number.
struct Numbers : PairSource {
  int64_t count = 7, failing = -1;
  bool slow = false;
  std::atomic<bool> held{false};  ///< get() waits while it is set
  mutable std::atomic<int> made{0};

  int64_t size() const override { return count; }
  Pair get(int64_t index, Random& random) const override {
    held.wait(true);
    const double number = random.uniform();
    if (slow) std::this_thread::sleep_for(std::chrono::microseconds(int(number * 2000)));
    ++made;
    require(index != failing, ErrorId::format, "numbers", "index ", index, " fails");
    Pair pair;
    pair.image0 = Tensor::from<double>({2}, {double(index), number});
    return pair;
  }
  std::string description() const override { return "numbers"; }
};

std::vector<std::vector<double>> take(Loader& loader, int count) {
  std::vector<std::vector<double>> list;
  for (int i = 0; i < count; ++i) list.push_back(loader.next().image0.to_vector());
  return list;
}

}  // namespace

TEST_CASE("sample k of a seed is always the same, whatever the threads and the prefetch") {
  Numbers source;
  source.slow = true;
  Loader plain(source, 42, 0, 0);
  const auto expected = take(plain, 40);
  for (const auto& [threads, prefetch] : {std::pair{1, 1}, {2, 4}, {7, 3}, {4, 100}}) {
    Loader loader(source, 42, 0, threads, prefetch);
    CHECK(take(loader, 40) == expected);
    CHECK(loader.position() == 40);
  }
  Loader other(source, 43, 0, 2);
  CHECK(take(other, 40) != expected);
}

TEST_CASE("a loader started at a position continues there") {
  Numbers source;
  Loader whole(source, 1, 0, 2), rest(source, 1, 19, 3);
  take(whole, 19);
  CHECK(take(rest, 20) == take(whole, 20));
  CHECK(rest.position() == 39);
}

TEST_CASE("each epoch takes every index once, in an order of its own") {
  Numbers source;
  source.count = 50;
  Loader loader(source, 3, 0, 2);
  std::set<std::vector<double>> orders, samples;
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::vector<double> order;
    for (const auto& sample : take(loader, 50)) {
      order.push_back(sample[0]);
      samples.insert(sample);
    }
    CHECK(std::set<double>(order.begin(), order.end()).size() == 50);
    orders.insert(order);
  }
  CHECK(orders.size() == 4);
  CHECK(samples.size() == 200);  // an index looks different each time
}

TEST_CASE("an error waits for its turn, and the samples after it still come") {
  Numbers source;
  source.failing = 3;
  for (const int threads : {0, 2}) {
    Loader loader(source, 5, 0, threads);
    int failed = 0;
    for (int i = 0; i < 14; ++i) {
      const int64_t index = loader.order(loader.position());
      try {
        const Pair pair = loader.next();
        CHECK(pair.image0.to_vector()[0] == double(index));
      } catch (const Error& error) {
        CHECK(error.id() == ErrorId::format);
        CHECK(index == 3);
        ++failed;
      }
    }
    CHECK(failed == 2);
    CHECK(loader.position() == 14);
  }
}

TEST_CASE("no more is made ahead than allowed, and an unused loader ends at once") {
  Numbers source;
  {
    Loader loader(source, 1, 0, 3, 5);
    take(loader, 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(source.made == 7);
  }
  Numbers slow;
  slow.slow = true;
  for (int i = 0; i < 20; ++i) Loader(slow, 1, 0, 4, 8);
  CHECK(slow.made <= 20 * 8);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their memory has no limit
TEST_CASE("with fewer threads than asked for the pairs are the same") {
  Numbers source;
  Loader plain(source, 2, 0, 0);
  const auto expected = take(plain, 20);
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  const rlimit tight{rlim_t{1} << 30, before.rlim_max};  // room for a hundred stacks or so
  REQUIRE(::setrlimit(RLIMIT_AS, &tight) == 0);
  source.held = true;
  Loader loader(source, 2, 0, 1024);
  ::setrlimit(RLIMIT_AS, &before);
  source.held = false;
  source.held.notify_all();
  CHECK(take(loader, 20) == expected);
}
#endif

TEST_CASE("arguments that make no sense are refused") {
  Numbers source, empty;
  empty.count = 0;
  CHECK_THROWS_AS(Loader(empty, 1), Error);
  CHECK_THROWS_AS(Loader(source, 1, -1), Error);
  CHECK_THROWS_AS(Loader(source, 1, 0, -1), Error);
}

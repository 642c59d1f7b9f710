// Makes pairs ahead of their use, in threads.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/pairs.h"

namespace cairn {

/// An endless sequence of pairs. Sample k is source.get(order(k), Random(seed, k)): it depends on
/// the source, the seed and k alone, whatever the number of threads, so a training resumes from
/// position(). Each epoch of source.size() samples takes every index once, in its own random order.
class Loader {
 public:
  /// `source` must outlive the loader. With 0 threads next() makes the pair itself. At most
  /// `prefetch` pairs, at least one per thread, wait or are being made.
  Loader(const PairSource& source, uint64_t seed, int64_t first_index = 0, int threads = 1,
         int prefetch = 4);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Sample position(), which then becomes the next. What the source threw for it is thrown here,
  /// and the sample is passed over. Not to be called from two threads at once.
  Pair next();
  /// The number of the sample that next() will return.
  int64_t position() const { return position_; }
  /// The source's index that sample k shows.
  int64_t order(int64_t k);

 private:
  struct Result {
    Pair pair;
    std::exception_ptr error;
  };
  Result make(int64_t k);
  int64_t order_locked(int64_t k);
  void work();

  const PairSource& source_;
  const uint64_t seed_;
  const int64_t prefetch_;
  int64_t position_;

  std::mutex mutex_;  // guards all below
  std::condition_variable room_, ready_;
  int64_t begin_, started_;  // samples [begin_, started_) are made or being made
  bool stop_ = false;
  std::vector<std::optional<Result>> results_;  // sample k waits in slot k % prefetch_
  int64_t epoch_ = -1;
  std::vector<int64_t> permutation_;  // of that epoch
  std::vector<std::thread> threads_;
};

}  // namespace cairn

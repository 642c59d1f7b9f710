#include "data/loader.h"

#include <algorithm>
#include <system_error>

namespace cairn {

Loader::Loader(const PairSource& source, uint64_t seed, int64_t first_index, int threads,
               int prefetch)
    : source_(source),
      seed_(seed),
      prefetch_(std::max(prefetch, threads)),
      position_(first_index),
      begin_(first_index),
      started_(first_index) {
  require(first_index >= 0, ErrorId::argument, "loader", "the first index is ", first_index);
  require(threads >= 0 && threads <= 1024, ErrorId::argument, "loader", "cannot use ", threads,
          " threads");
  require(source.size() >= 1, ErrorId::argument, "loader", "the source is empty");
  threads_.reserve(size_t(threads));
  try {
    while (int(threads_.size()) < threads) threads_.emplace_back([this] { work(); });
  } catch (
      const std::system_error&) {  // the system gives no more; with fewer the pairs are the same
  }
}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  room_.notify_all();
  for (std::thread& t : threads_) t.join();
}

int64_t Loader::order(int64_t k) {
  std::lock_guard lock(mutex_);
  return order_locked(k);
}

int64_t Loader::order_locked(int64_t k) {
  const int64_t size = source_.size(), epoch = k / size;
  if (epoch != epoch_) {
    // Streams from the top down, so that no epoch's order shares its numbers with a sample.
    Random random(seed_, ~uint64_t(epoch));
    permutation_ = sample_without_replacement(size, size, random);
    epoch_ = epoch;
  }
  return permutation_[size_t(k % size)];
}

Loader::Result Loader::make(int64_t k, int64_t index) const {
  try {
    Random random(seed_, uint64_t(k));
    return {source_.get(index, random), nullptr};
  } catch (...) {
    return {{}, std::current_exception()};
  }
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    room_.wait(lock, [this] { return stop_ || started_ < begin_ + prefetch_; });
    if (stop_) return;
    const int64_t k = started_++, index = order_locked(k);
    lock.unlock();
    Result result = make(k, index);
    lock.lock();
    results_.emplace(k, std::move(result));
    ready_.notify_one();
  }
}

Pair Loader::next() {
  const int64_t k = position_;
  Result result;
  if (threads_.empty()) {
    result = make(k, order(k));
  } else {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return results_.contains(k); });
    result = std::move(results_.extract(k).mapped());
    begin_ = k + 1;
    lock.unlock();
    room_.notify_one();
  }
  ++position_;
  if (result.error) std::rethrow_exception(result.error);
  return std::move(result.pair);
}

}  // namespace cairn

#include "data/loader.h"

#include <algorithm>

namespace cairn {

Loader::Loader(const PairSource& source, uint64_t seed, int64_t first_index, int threads,
               int prefetch)
    : source_(source),
      seed_(seed),
      prefetch_(std::max(prefetch, threads)),
      position_(first_index),
      begin_(first_index),
      started_(first_index),
      results_(size_t(std::max(prefetch_, int64_t{1}))) {
  require(first_index >= 0, ErrorId::argument, "loader", "the first index is ", first_index);
  require(threads >= 0 && threads <= 1024, ErrorId::argument, "loader", "cannot use ", threads,
          " threads");
  require(source.size() >= 1, ErrorId::argument, "loader", "the source is empty");
  order(first_index);  // while it may still throw here
  threads_.reserve(size_t(threads));
  try {
    while (int(threads_.size()) < threads) threads_.emplace_back([this] { work(); });
  } catch (const std::exception&) {  // no more threads or memory: fewer make the same pairs
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

Loader::Result Loader::make(int64_t k) {
  try {
    const int64_t index = order(k);
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
    const int64_t k = started_++;
    lock.unlock();
    Result result = make(k);
    lock.lock();
    results_[size_t(k % prefetch_)] = std::move(result);
    ready_.notify_one();
  }
}

Pair Loader::next() {
  const int64_t k = position_;
  Result result;
  if (threads_.empty()) {
    result = make(k);
  } else {
    std::unique_lock lock(mutex_);
    auto& slot = results_[size_t(k % prefetch_)];
    ready_.wait(lock, [&] { return slot.has_value(); });
    result = std::move(*slot);
    slot.reset();
    begin_ = k + 1;
    lock.unlock();
    room_.notify_one();
  }
  ++position_;
  if (result.error) std::rethrow_exception(result.error);
  return std::move(result.pair);
}

}  // namespace cairn

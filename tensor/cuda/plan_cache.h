// What a library call needs and is slow to find out, kept by what was asked.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>

namespace cairn::cuda {

/// The `capacity` values used last. Thread-safe: a value is made once, others who ask meanwhile
/// wait; one that is still in use outlives its place in the cache. Key needs <.
template <class Key, class Value>
class PlanCache {
 public:
  explicit PlanCache(size_t capacity) : capacity_(capacity) {}

  /// The value of `key`; if there is none, make() gives it, and the value used longest ago may go.
  /// What make() throws is passed on, and nothing is kept.
  std::shared_ptr<Value> get(const Key& key, const std::function<std::shared_ptr<Value>()>& make) {
    std::lock_guard lock(mutex_);
    if (const auto it = places_.find(key); it != places_.end()) {
      order_.splice(order_.begin(), order_, it->second);
      return it->second->second;
    }
    auto value = make();
    order_.emplace_front(key, value);
    places_[key] = order_.begin();
    if (order_.size() > capacity_) {
      places_.erase(order_.back().first);
      order_.pop_back();
    }
    return value;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return order_.size();
  }

 private:
  using Entries = std::list<std::pair<Key, std::shared_ptr<Value>>>;
  const size_t capacity_;
  mutable std::mutex mutex_;
  Entries order_;  // the last used is first
  std::map<Key, typename Entries::iterator> places_;
};

}  // namespace cairn::cuda

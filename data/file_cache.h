// What was read from files, kept while it fits a budget.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "data/pairs.h"
#include "tensor/error.h"

namespace cairn {

/// Reads files by index and keeps those used last, up to a number of bytes. Safe to use from
/// several threads; files are read outside the lock. T has nbytes().
template <class T>
class FileCache {
 public:
  /// `read`: from an index and its path; ErrorId::io and format mean that the file is broken.
  using Read = std::function<T(int64_t index, const std::string& path)>;
  FileCache(std::vector<std::string> paths, int64_t max_bytes, Read read)
      : paths_(std::move(paths)), max_bytes_(max_bytes), read_(std::move(read)) {}

  int64_t size() const { return int64_t(paths_.size()); }
  const std::string& path(int64_t index) const { return paths_[size_t(index)]; }

  /// What the file holds, or null when it is broken (it is then in broken()).
  std::shared_ptr<const T> get(int64_t index) {
    {
      std::lock_guard lock(mutex_);
      if (broken_indices_.contains(index)) return nullptr;
      if (const auto found = entries_.find(index); found != entries_.end()) {
        order_.splice(order_.begin(), order_, found->second.used);
        return found->second.value;
      }
    }
    std::shared_ptr<const T> value;
    try {
      value = std::make_shared<const T>(read_(index, path(index)));
    } catch (const Error& error) {
      if (error.id() != ErrorId::io && error.id() != ErrorId::format) throw;
      std::lock_guard lock(mutex_);
      if (broken_indices_.insert(index).second) broken_.push_back({path(index), error.what()});
      return nullptr;
    }
    std::lock_guard lock(mutex_);
    if (entries_.contains(index)) return value;  // another thread was faster; both read the same
    order_.push_front(index);
    entries_[index] = {value, order_.begin()};
    bytes_ += value->nbytes();
    while (bytes_ > max_bytes_ && order_.size() > 1) {
      const auto oldest = entries_.find(order_.back());
      bytes_ -= oldest->second.value->nbytes();
      entries_.erase(oldest);
      order_.pop_back();
    }
    return value;
  }

  /// In the order in which they were found, so that what is new stands at the end.
  std::vector<BrokenPhoto> broken() const {
    std::lock_guard lock(mutex_);
    return broken_;
  }

 private:
  struct Entry {
    std::shared_ptr<const T> value;
    std::list<int64_t>::iterator used;
  };

  std::vector<std::string> paths_;
  int64_t max_bytes_;
  Read read_;
  mutable std::mutex mutex_;  // guards all below
  std::map<int64_t, Entry> entries_;
  std::list<int64_t> order_;  // the one used last first
  int64_t bytes_ = 0;
  std::set<int64_t> broken_indices_;
  std::vector<BrokenPhoto> broken_;
};

}  // namespace cairn

// Worker: a thread of its own for one stage of a pipeline.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace cairn {

/// Runs tasks one after the other, in the order they were posted, in one thread. A task that throws
/// ends the work: those after it are dropped, and what it threw is thrown by the next post() or
/// finish(). The destructor lets the running task end and drops those that wait.
class Worker {
 public:
  using Task = std::function<void()>;
  /// post() waits while `room` tasks wait.
  explicit Worker(size_t room);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void post(Task task);
  /// Returns when all posted tasks have run.
  void finish();

 private:
  void work();

  const size_t room_;
  std::mutex mutex_;  // guards all below but the thread
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool busy_ = false, stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace cairn

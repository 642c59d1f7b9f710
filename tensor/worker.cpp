#include "tensor/worker.h"

#include <system_error>
#include <utility>

namespace cairn {

Worker::Worker(size_t room) : room_(room) {
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error&) {  // no more threads: post() runs the tasks itself
  }
}

Worker::~Worker() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Worker::post(Task task) {
  if (!thread_.joinable()) return task();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return error_ || tasks_.size() < room_; });
  if (error_) std::rethrow_exception(error_);
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Worker::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return error_ || (tasks_.empty() && !busy_); });
  if (error_) std::rethrow_exception(error_);
}

void Worker::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
    if (stop_) return;
    busy_ = true;
    std::exception_ptr error;
    {
      const Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      changed_.notify_all();
      try {
        task();
      } catch (...) {
        error = std::current_exception();
      }
    }  // what the task held is freed outside the lock
    lock.lock();
    busy_ = false;
    if (error) {
      error_ = error;
      stop_ = true;
    }
    changed_.notify_all();
  }
}

}  // namespace cairn

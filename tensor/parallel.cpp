#include "tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tensor/error.h"

namespace cairn {
namespace {

struct Job {
  int64_t n, grain;
  const std::function<void(int64_t, int64_t)>* body;
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;

  void work() {
    for (;;) {
      const int64_t begin = next.fetch_add(grain);
      if (begin >= n) return;
      try {
        (*body)(begin, std::min(n, begin + grain));
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next = n;
      }
    }
  }
};

thread_local bool inside_chunk = false;

struct InsideChunk {
  InsideChunk() { inside_chunk = true; }
  ~InsideChunk() { inside_chunk = false; }
};

/// Workers sleep between jobs: no spinning, so an idle program uses no core.
class Pool {
 public:
  explicit Pool(int workers) {
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { serve(); });
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }

  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      job_ = &job;
      ++generation_;
    }
    wake_.notify_all();
    {
      InsideChunk inside;
      job.work();
    }
    std::unique_lock lock(mutex_);
    job_ = nullptr;  // late workers find nothing to join
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve() {
    InsideChunk inside;
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      Job* job = job_;
      if (!job) continue;
      ++busy_;
      lock.unlock();
      job->work();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  uint64_t generation_ = 0;
  int busy_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

int default_threads() {
  if (const char* text = std::getenv("CAIRN_THREADS"))
    if (const int n = std::atoi(text); n >= 1) return n;
  return std::max(1u, std::thread::hardware_concurrency());
}

std::mutex pool_mutex;  // held by whoever runs a job; others run theirs serially meanwhile
std::atomic<int> thread_count{0};
std::unique_ptr<Pool> pool;
int pool_size = 0;

}  // namespace

int num_threads() {
  if (thread_count == 0) thread_count = default_threads();
  return thread_count;
}

void set_num_threads(int count) {
  require(count >= 1, ErrorId::argument, "set_num_threads", "at least one thread, not ", count);
  thread_count = count;
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  require(grain >= 1, ErrorId::argument, "parallel_for", "the grain is ", grain);
  std::unique_lock lock(pool_mutex, std::defer_lock);
  if (n <= grain || inside_chunk || num_threads() == 1 || !lock.try_lock()) {
    for (int64_t begin = 0; begin < n; begin += grain) body(begin, std::min(n, begin + grain));
    return;
  }
  if (pool_size != num_threads()) {
    pool.reset();
    pool = std::make_unique<Pool>(num_threads() - 1);
    pool_size = num_threads();
  }
  Job job{n, grain, &body, {}, {}, {}};
  pool->run(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace cairn

#include "tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

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
    threads_.reserve(size_t(workers));
    try {
      while (int(threads_.size()) < workers) threads_.emplace_back([this] { serve(); });
    } catch (const std::exception&) {  // the system gives no more; those there are do the work
    }
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
  if (const char* text = std::getenv("CAIRN_THREADS"); text && *text) {
    int count = 0;
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, count);
    require(error == std::errc() && rest == end && count >= 1, ErrorId::argument, "num_threads",
            "CAIRN_THREADS is '", text, "', not a number of threads");
    return count;
  }
#ifdef __linux__  // where hardware_concurrency() also counts cores that this process may not use
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
  return int(std::max(1u, std::thread::hardware_concurrency()));
}

std::mutex pool_mutex;  // held by whoever runs a job; others run theirs serially meanwhile
std::atomic<int> thread_count{0};
std::unique_ptr<Pool> pool;
int pool_size = 0;

}  // namespace

int num_threads() {
  int unset = 0;
  if (thread_count == 0) thread_count.compare_exchange_strong(unset, default_threads());
  return thread_count;
}

void set_num_threads(int count) {
  require(count >= 1, ErrorId::argument, "set_num_threads", "at least one thread, not ", count);
  thread_count = count;
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  require(grain >= 1, ErrorId::argument, "parallel_for", "the grain is ", grain);
  const int threads = num_threads();
  std::unique_lock lock(pool_mutex, std::defer_lock);
  if (n <= grain || inside_chunk || threads == 1 || !lock.try_lock()) {
    for (int64_t begin = 0; begin < n; begin += grain) body(begin, std::min(n, begin + grain));
    return;
  }
  if (!pool || pool_size != threads) {
    pool.reset();
    pool = std::make_unique<Pool>(threads - 1);
    pool_size = threads;
  }
  Job job{n, grain, &body, {}, {}, {}};
  pool->run(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace cairn

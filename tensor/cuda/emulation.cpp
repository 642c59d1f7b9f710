#include "tensor/cuda/emulation.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tensor/error.h"
#include "tensor/parallel.h"

// The thread sanitizer is told what CUDA promises: what came before a barrier is seen after it, and
// nothing else orders the threads of a block. The scheduler itself is hidden from it.
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define UNSEEN __attribute__((no_sanitize_thread))
#define ACQUIRE(object) __tsan_acquire(object)
#define RELEASE(object) __tsan_release(object)
#else
#define UNSEEN
#define ACQUIRE(object)
#define RELEASE(object)
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cairn::cuda::emulation {
namespace {

constexpr size_t stack_bytes = 256 << 10;
constexpr unsigned most_threads = 1024, warp = 32;

/// A place to continue: a fiber's, or the scheduler's own.
struct Context {
  ucontext_t place;
  jmp_buf jump;
  bool left = false;                              // to be continued at `jump`, not at `place`
  [[maybe_unused]] const void* bottom = nullptr;  // of the stack
  [[maybe_unused]] size_t size = 0;
  [[maybe_unused]] void* fake_stack = nullptr;
  [[maybe_unused]] void* tsan = nullptr;
};

UNSEEN void switch_to(Context& from, Context& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  swapcontext(&from.place, &to.place);
#else  // without swapcontext's two system calls
  from.left = true;
  if (_setjmp(from.jump) == 0) {
    if (to.left) _longjmp(to.jump, 1);
    setcontext(&to.place);
  }
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

enum class State { idle, ready, at_block_barrier, at_warp_barrier };

/// A stack on which threads of a block run.
struct Fiber {
  explicit Fiber(void (*main)()) {
    stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(stack != MAP_FAILED, ErrorId::memory, "emulation", "no memory for a thread's stack");
    getcontext(&context.place);
    context.place.uc_stack.ss_sp = stack;
    context.place.uc_stack.ss_size = stack_bytes;
    context.place.uc_link = nullptr;
    context.bottom = stack;
    context.size = stack_bytes;
    makecontext(&context.place, main, 0);
#if defined(__SANITIZE_THREAD__)
    context.tsan = __tsan_create_fiber(0);
#endif
  }
  ~Fiber() {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack, stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(context.tsan);
#endif
    munmap(stack, stack_bytes);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  Context context;
  void* stack;
  State state = State::idle;
  Fiber* next_idle = nullptr;
  unsigned thread = 0;  // its number in the block
  uint3 index;
  unsigned barriers = 0, warp_barriers = 0, votes = 0;  // passed
};

/// Runs the blocks that one thread of the CPU takes.
class Scheduler {
 public:
  static Scheduler& of_this_thread();

  UNSEEN void run_block(const char* kernel, dim3 block, const std::function<void()>& body) {
    body_ = &body;
    block_ = block;
    threads_ = waiting_ = unfinished_ = block.x * block.y * block.z;
    require(threads_ <= most_threads, ErrorId::device, kernel, threads_, " threads in a block");
    for (auto& both : votes_) both[0] = both[1] = 0;
#if defined(__SANITIZE_THREAD__)
    home_.tsan = __tsan_get_current_fiber();
#endif
    RELEASE(&threads_);
    // Turns go up and down in alternation: their order must not hide a missing barrier.
    up_ = !up_;
    while (waiting_ > 0) resume(fiber_for_next_thread());
    while (unfinished_ > 0) {
      if (!release_barriers()) {
        ACQUIRE(&unfinished_);
        idle_ = nullptr;
        fibers_.clear();  // they stand in the middle of the kernel
        throw Error(ErrorId::device, kernel, "some threads wait where others never come");
      }
      up_ = !up_;
      for (size_t i = 0; i < fibers_.size(); ++i) {
        Fiber& f = *fibers_[up_ ? i : fibers_.size() - 1 - i];
        if (f.state == State::ready) resume(f);
      }
    }
    ACQUIRE(&unfinished_);
  }

  UNSEEN void wait(State barrier) {
    Fiber& self = *current_;
    self.state = barrier;
    // Two objects in turn: who is early at the next barrier must not be taken for this one's.
    [[maybe_unused]] void* const object =
        barrier == State::at_block_barrier
            ? &block_objects_[self.barriers++ % 2]
            : &warp_objects_[self.thread / warp][self.warp_barriers++ % 2];
    RELEASE(object);
    RELEASE(&unfinished_);
    switch_to(self.context, home_);
    ACQUIRE(object);
  }

  /// The bits are gathered by those who come, and read after all have.
  UNSEEN unsigned ballot(bool value) {
    const unsigned w = current_->thread / warp;
    unsigned& bits = votes_[w][current_->votes++ % 2];
    if (value) bits |= 1u << lane();
    wait(State::at_warp_barrier);
    const unsigned result = bits;
    votes_[w][current_->votes % 2] = 0;  // the next one's
    wait(State::at_warp_barrier);
    return result;
  }

  UNSEEN void* slot(unsigned lane) { return &slots_[current_->thread / warp * warp + lane]; }
  UNSEEN unsigned lane() const { return current_->thread % warp; }

 private:
  /// Runs one thread after another: a kernel without barriers needs a single fiber.
  UNSEEN static void fiber_main() {
    Scheduler& s = of_this_thread();
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &s.home_.bottom, &s.home_.size);
#endif
    for (;;) {
      Fiber& self = *s.current_;
      ACQUIRE(&s.threads_);
      (*s.body_)();
      RELEASE(&s.unfinished_);
      --s.unfinished_;
#if !defined(__SANITIZE_THREAD__)  // it must see every thread on a fiber of its own
      if (s.waiting_ > 0) {
        s.begin(self);
        continue;
      }
#endif
      self.state = State::idle;
      self.next_idle = s.idle_;
      s.idle_ = &self;
      switch_to(self.context, s.home_);
    }
  }

  UNSEEN void begin(Fiber& f) {
    const unsigned t = f.thread = up_ ? threads_ - waiting_ : waiting_ - 1;
    --waiting_;
    f.index = threadIdx = {t % block_.x, t / block_.x % block_.y, t / block_.x / block_.y};
    f.state = State::ready;
    f.barriers = f.warp_barriers = f.votes = 0;
  }

  UNSEEN Fiber& fiber_for_next_thread() {
    if (!idle_) {
      fibers_.push_back(std::make_unique<Fiber>(fiber_main));
      idle_ = fibers_.back().get();
    }
    Fiber& f = *idle_;
    idle_ = f.next_idle;
    begin(f);
    return f;
  }

  UNSEEN void resume(Fiber& f) {
    current_ = &f;
    threadIdx = f.index;
    switch_to(home_, f.context);
  }

  /// Opens every barrier at which all stand that have not finished; false if there is none.
  UNSEEN bool release_barriers() {
    unsigned at_block = 0, live[most_threads / warp] = {}, at_warp[most_threads / warp] = {};
    for (const auto& f : fibers_) {
      if (f->state == State::idle) continue;
      ++live[f->thread / warp];
      at_block += f->state == State::at_block_barrier;
      at_warp[f->thread / warp] += f->state == State::at_warp_barrier;
    }
    bool any = false;
    for (const auto& f : fibers_) {
      const unsigned w = f->thread / warp;
      if ((f->state == State::at_block_barrier && at_block == unfinished_) ||
          (f->state == State::at_warp_barrier && at_warp[w] == live[w])) {
        f->state = State::ready;
        any = true;
      }
    }
    return any;
  }

  Context home_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* idle_ = nullptr;  // a list, as the sanitizer would see a vector's functions
  Fiber* current_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  dim3 block_;
  unsigned threads_ = 0, waiting_ = 0, unfinished_ = 0;  // waiting: not begun
  bool up_ = false;
  [[maybe_unused]] char block_objects_[2], warp_objects_[most_threads / warp][2];
  uint64_t slots_[most_threads];
  unsigned votes_[most_threads / warp][2];
};

UNSEEN Scheduler& Scheduler::of_this_thread() {
  thread_local Scheduler scheduler;
  return scheduler;
}

}  // namespace

void run(const char* kernel, dim3 grid, dim3 block, const std::function<void()>& thread) {
  const int64_t blocks = int64_t(grid.x) * grid.y * grid.z;
  parallel_for(blocks, std::max<int64_t>(1, blocks / 64), [&](int64_t begin, int64_t end) {
    Scheduler& scheduler = Scheduler::of_this_thread();
    gridDim = grid;
    blockDim = block;
    for (int64_t b = begin; b < end; ++b) {
      blockIdx = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y),
                  unsigned(b / grid.x / grid.y)};
      scheduler.run_block(kernel, block, thread);
    }
  });
}

void block_barrier() { Scheduler::of_this_thread().wait(State::at_block_barrier); }
void warp_barrier() { Scheduler::of_this_thread().wait(State::at_warp_barrier); }
void* warp_slot(unsigned lane) { return Scheduler::of_this_thread().slot(lane); }
unsigned ballot(bool value) { return Scheduler::of_this_thread().ballot(value); }
unsigned lane() { return Scheduler::of_this_thread().lane(); }

}  // namespace cairn::cuda::emulation

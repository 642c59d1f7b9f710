// The real device, by the CUDA runtime. That is linked statically and finds the driver when first
// called, so the program starts on a machine without one.
#include "tensor/cuda/runtime.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

#include "tensor/cuda/stream.h"
#include "tensor/error.h"

namespace cairn::cuda {
namespace {

constexpr int oldest_major = 7, oldest_minor = 5;  // the oldest that CUDA 13 compiles for

/// CUDA's 12080 is 12.8.
std::string version_text(int v) { return cat(v / 1000, ".", v % 1000 / 10); }

struct Device {
  std::string problem;  // why it cannot be used, or empty
  int index = 0;
  cudaDeviceProp properties{};
  cudaStream_t stream = nullptr, copies = nullptr;
};

std::atomic<int> wanted{0};
std::atomic<bool> chosen{false};

Device choose() {
  Device d;
  d.index = wanted;
  chosen = true;
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();  // a missing device is said here; it must not turn up at the next kernel
  if (driver == 0)
    d.problem = "no NVIDIA driver is loaded on this machine";
  else if (error == cudaErrorInsufficientDriver)
    d.problem = cat("the NVIDIA driver is for CUDA ", version_text(driver),
                    ", too old for this build's CUDA ", version_text(runtime));
  else if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    d.problem = "the NVIDIA driver finds no GPU";
  else if (error != cudaSuccess)
    d.problem = cat("CUDA does not start: ", cudaGetErrorString(error));
  else if (d.index >= count)
    d.problem = cat("there is no device cuda:", d.index, "; the last is cuda:", count - 1);
  if (!d.problem.empty()) return d;

  cudaError_t code = cudaGetDeviceProperties(&d.properties, d.index);
  const auto& p = d.properties;
  if (code == cudaSuccess &&
      (p.major < oldest_major || (p.major == oldest_major && p.minor < oldest_minor))) {
    d.problem = cat("the GPU, ", p.name, ", is too old: it has compute capability ", p.major, ".",
                    p.minor, ", but ", oldest_major, ".", oldest_minor, " is needed");
    return d;
  }
  if (code == cudaSuccess) code = cudaSetDevice(d.index);
  for (cudaStream_t* s : {&d.stream, &d.copies})
    if (code == cudaSuccess) code = cudaStreamCreateWithFlags(s, cudaStreamNonBlocking);
  if (code != cudaSuccess) d.problem = cat("the GPU does not start: ", cudaGetErrorString(code));
  return d;
}

const Device& choice() {
  static const Device device = choose();
  return device;
}

/// Throws ErrorId::device when there is none.
const Device& device() {
  const Device& d = choice();
  require(d.problem.empty(), ErrorId::device, "cuda", d.problem);
  static thread_local bool set = false;  // CUDA's current device is a thread's, not the process's
  if (!set) check(cudaSetDevice(d.index), "choosing the device");
  set = true;
  return d;
}

/// The kernels started last: an error that turns up at a later call is one of theirs.
class Recent {
 public:
  void add(const char* kernel) {
    std::lock_guard lock(mutex_);
    names_[count_++ % names_.size()] = kernel;
  }
  void clear() {
    std::lock_guard lock(mutex_);
    count_ = 0;
  }
  std::string text() {
    std::lock_guard lock(mutex_);
    std::string all;
    for (size_t i = count_ - std::min(count_, names_.size()); i < count_; ++i)
      all += (all.empty() ? "" : ", ") + std::string(names_[i % names_.size()]);
    return all;
  }

 private:
  std::mutex mutex_;
  std::array<const char*, 16> names_{};
  size_t count_ = 0;
};

Recent& recent() {
  static auto* const kernels = new Recent;
  return *kernels;
}

bool sync_after_each() {
  static const bool on = [] {
    const char* text = std::getenv("CAIRN_CUDA_SYNC");
    return text && *text && *text != '0';
  }();
  return on;
}

}  // namespace

cudaStream_t stream() { return device().stream; }

void check(cudaError_t code, std::string_view what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  const std::string kernels = recent().text();
  throw Error(
      ErrorId::device, "cuda",
      cat(what, " failed: ", cudaGetErrorString(code),
          kernels.empty() || sync_after_each() ? "" : cat(" (started before it: ", kernels, ")")),
      sync_after_each() || kernels.empty() ? "" : "CAIRN_CUDA_SYNC=1 names the kernel");
}

const std::string& unavailable() { return choice().problem; }

void select_device(int index) {
  require(index >= 0, ErrorId::device, "cuda", "there is no device cuda:", index);
  if (!chosen) wanted = index;
  const Device& d = choice();
  require(d.problem.empty(), ErrorId::device, "cuda", d.problem);
  require(d.index == index, ErrorId::device, "cuda", "cuda:", d.index,
          " is in use already; a process uses one device");
}

std::string device_name() {
  const auto& p = device().properties;
  char memory[32];
  std::snprintf(memory, sizeof memory, "%.1f GiB", double(p.totalGlobalMem) / double(1 << 30));
  return cat(p.name, " (sm_", p.major, p.minor, ", ", memory, ")");
}

std::string build_description() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return cat("CUDA ", version_text(runtime), ", compiled for ", CAIRN_CUDA_ARCHITECTURES, "; ",
             driver ? "driver for CUDA " + version_text(driver) : "no driver");
}

void* system_allocate(int64_t bytes) {
  device();
  void* block = nullptr;
  const cudaError_t code = cudaMalloc(&block, size_t(bytes));
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(code, "allocating memory");
  return block;
}
void system_free(void* block) noexcept {
  if (cudaFree(block) != cudaSuccess) cudaGetLastError();  // nothing that follows has failed
}

void* pinned_allocate(int64_t bytes) {
  device();
  void* block = nullptr;
  if (cudaMallocHost(&block, size_t(bytes)) == cudaSuccess) return block;
  cudaGetLastError();
  return nullptr;
}
void pinned_free(void* block) noexcept {
  if (cudaFreeHost(block) != cudaSuccess) cudaGetLastError();
}

namespace {

/// A recorded copy would read or write, each time it is done, where the host's memory once was.
void require_not_recording(const char* what) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream(), &status), what);
  require(status == cudaStreamCaptureStatusNone, ErrorId::device, "cuda", what,
          " cannot be recorded");
}

}  // namespace

void copy_to_device(void* to, const void* from, int64_t bytes) {
  require_not_recording("a copy from the host");
  // Of pageable memory: CUDA has read it all when this returns.
  check(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyHostToDevice, stream()),
        "a copy to the GPU");
  if (device().properties.pageableMemoryAccess) synchronize();  // there it may read it later
}
void copy_to_host(void* to, const void* from, int64_t bytes) {
  require_not_recording("a copy to the host");
  check(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDeviceToHost, stream()),
        "a copy from the GPU");
  synchronize();
}
void copy_on_device(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyDeviceToDevice, stream()),
        "a copy on the GPU");
}
void fill_bytes(void* to, uint8_t value, int64_t bytes) {
  check(cudaMemsetAsync(to, value, size_t(bytes), stream()), "filling memory of the GPU");
}

namespace {

Mark mark(cudaStream_t stream) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  Mark m(event, [](void* e) { cudaEventDestroy(static_cast<cudaEvent_t>(e)); });
  check(cudaEventRecord(event, stream), "recording an event");
  return m;
}
cudaEvent_t event_of(const Mark& mark) { return static_cast<cudaEvent_t>(mark.get()); }

}  // namespace

Mark mark_work() { return mark(stream()); }
Mark mark_copies() { return mark(device().copies); }
void work_waits(const Mark& mark) {
  if (mark) check(cudaStreamWaitEvent(stream(), event_of(mark)), "waiting for a copy");
}
void copies_wait(const Mark& mark) {
  if (mark) check(cudaStreamWaitEvent(device().copies, event_of(mark)), "waiting for work");
}
void host_waits(const Mark& mark) {
  if (mark) check(cudaEventSynchronize(event_of(mark)), "waiting for the GPU");
}
void copy_beside(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, size_t(bytes), cudaMemcpyHostToDevice, device().copies),
        "a copy to the GPU");
}

std::shared_ptr<void> record(const std::function<void()>& start) {
  // Relaxed: the allocator may call cudaMalloc on the way.
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "recording work");
  cudaGraph_t graph = nullptr;
  try {
    start();
  } catch (...) {
    cudaStreamEndCapture(stream(), &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream(), &graph), "recording work");
  cudaGraphExec_t work = nullptr;
  const cudaError_t code = cudaGraphInstantiate(&work, graph, 0);
  cudaGraphDestroy(graph);
  check(code, "making recorded work ready");
  return {work, [](void* w) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(w)); }};
}
void start_recorded(const std::shared_ptr<void>& work) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(work.get()), stream()), "recorded work");
  recent().add("recorded work");
}

void synchronize() {
  check(cudaStreamSynchronize(stream()), "the work on the GPU");
  recent().clear();
}

void detail::started(const char* kernel) {
  const cudaError_t code = cudaGetLastError();
  if (code != cudaSuccess) check(code, cat("starting the kernel ", kernel));
  recent().add(kernel);
  if (!sync_after_each()) return;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream(), &status);
  if (status == cudaStreamCaptureStatusNone)
    check(cudaStreamSynchronize(stream()), cat("the kernel ", kernel));
}

}  // namespace cairn::cuda

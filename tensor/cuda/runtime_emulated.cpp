// The emulated device: its memory is the CPU's, and whatever is started has ended on return.
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "tensor/cuda/cublaslt.h"
#include "tensor/cuda/cudnn.h"
#include "tensor/cuda/emulation.h"
#include "tensor/cuda/runtime.h"
#include "tensor/error.h"

namespace cairn::cuda {
namespace {

using Work = std::vector<std::function<void()>>;
thread_local Work* recording = nullptr;

}  // namespace

const std::string& unavailable() {
  static const std::string available;
  return available;
}
void select_device(int index) {
  require(index == 0, ErrorId::device, "device", "there is no device cuda:", index,
          ", only the emulated cuda:0");
}
std::string device_name() { return "CUDA emulated on the CPU"; }
std::string build_description() { return "built with CUDA emulated on the CPU, for tests"; }
void* system_allocate(int64_t bytes) {
  return std::aligned_alloc(256, size_t((bytes + 255) / 256 * 256));
}
void system_free(void* block) noexcept { std::free(block); }
void* pinned_allocate(int64_t bytes) { return system_allocate(bytes); }
void pinned_free(void* block) noexcept { system_free(block); }
void copy_to_device(void* to, const void* from, int64_t bytes) {
  require(!recording, ErrorId::device, "cuda", "a copy from the host cannot be recorded");
  std::memcpy(to, from, size_t(bytes));
}
void copy_to_host(void* to, const void* from, int64_t bytes) {
  require(!recording, ErrorId::device, "cuda", "a copy to the host cannot be recorded");
  std::memcpy(to, from, size_t(bytes));
}
void copy_on_device(void* to, const void* from, int64_t bytes) {
  do_or_record([=] { std::memmove(to, from, size_t(bytes)); });
}
void fill_bytes(void* to, uint8_t value, int64_t bytes) {
  do_or_record([=] { std::memset(to, value, size_t(bytes)); });
}
Mark mark_work() { return nullptr; }
Mark mark_copies() { return nullptr; }
void work_waits(const Mark&) {}
void copies_wait(const Mark&) {}
void host_waits(const Mark&) {}
void copy_beside(void* to, const void* from, int64_t bytes) { copy_to_device(to, from, bytes); }
void synchronize() {}

void do_or_record(std::function<void()> work) {
  if (recording)
    recording->push_back(std::move(work));
  else
    work();
}
std::shared_ptr<void> record(const std::function<void()>& start) {
  auto work = std::make_shared<Work>();
  struct Recording {
    explicit Recording(Work* w) { recording = w; }
    ~Recording() { recording = nullptr; }
  } scope(work.get());
  start();
  return work;
}
void start_recorded(const std::shared_ptr<void>& work) {
  for (const auto& w : *static_cast<const Work*>(work.get())) w();
}
namespace {

std::set<std::string> names;
std::mutex names_mutex;

}  // namespace

void detail::started(const char* name) {
  std::lock_guard lock(names_mutex);
  names.insert(name);
}
std::set<std::string> emulation::journal() {
  std::lock_guard lock(names_mutex);
  return std::exchange(names, {});
}

// No libraries: the own kernels run.
const std::string& cudnn_status() {
  static const std::string absent = "no cuDNN in the emulation";
  return absent;
}
const std::string& cublaslt_status() {
  static const std::string absent = "no cuBLASLt in the emulation";
  return absent;
}
bool convolve(const ConvProblem&, void*, const void*, const void*, const void*, const void*) {
  detail::started("cuDNN");
  return false;
}
bool multiply(const ProductProblem&, void*, const void*, const void*, const void*) {
  detail::started("cuBLASLt");
  return false;
}

}  // namespace cairn::cuda

// The GPU as the library sees it. One of three files implements this: runtime_cuda.cpp (a real
// device), runtime_emulated.cpp (kernels run on the CPU, for the tests) or none.cpp (a
// build without CUDA). One device per process, one stream of work on it and one of copies.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace cairn::cuda {

/// Why Device::cuda cannot be used, on one line: built without CUDA, no driver, a driver too old,
/// no device, a device too old. Empty when it can. The first call chooses the device.
const std::string& unavailable();
/// Takes device `index` for this process; before the first use of Device::cuda only. Throws
/// ErrorId::device when it does not exist, or another is in use.
void select_device(int index);
/// The device in use, for people: "NVIDIA H100 80GB HBM3 (sm_90, 79.2 GiB)".
std::string device_name();
/// One line for `make doctor`: toolkit, architectures compiled for, driver.
std::string build_description();

/// How the libraries multiply f32: exactly, or rounded to TF32's 10 bits for the tensor cores. Sums
/// are f32 in both. Without effect on bf16, whose products are exact and whose sums are f32.
enum class Math : uint8_t { fp32, tf32 };
/// The setting for the whole process; fp32 unless set.
Math math();
void set_math(Math math);
/// Whether cuDNN and cuBLASLt are asked before the own kernels; the environment variable
/// CAIRN_CUDA_LIBRARIES=0 says no from the start.
bool use_libraries();
void set_use_libraries(bool use);

/// Device memory; nullptr when there is none left.
void* system_allocate(int64_t bytes);
void system_free(void* block) noexcept;
/// Host memory that the device copies to and from without a detour.
void* pinned_allocate(int64_t bytes);
void pinned_free(void* block) noexcept;

/// In the order of the stream. What is copied to the host is there on return, and so are the
/// results of all kernels before; copies to the device may go on, but `from` may be changed.
void copy_to_device(void* to, const void* from, int64_t bytes);
void copy_to_host(void* to, const void* from, int64_t bytes);
void copy_on_device(void* to, const void* from, int64_t bytes);
void fill_bytes(void* to, uint8_t value, int64_t bytes);

/// A point in the order of work, reached when all that was started before it is done.
using Mark = std::shared_ptr<void>;
Mark mark_work();
/// Copies from pinned memory run on a stream of their own, beside the work.
Mark mark_copies();
void work_waits(const Mark& mark);
void copies_wait(const Mark& mark);
void host_waits(const Mark& mark);
void copy_beside(void* to, const void* from, int64_t bytes);

/// Records the work that `start` starts, instead of doing it; start_recorded() does it as often as
/// wanted, each time with the same memory. What is copied from or to the host is not recorded, it
/// throws ErrorId::device.
std::shared_ptr<void> record(const std::function<void()>& start);
void start_recorded(const std::shared_ptr<void>& work);

/// Waits for all work; throws ErrorId::device, naming the kernels it may have been, when some
/// failed.
void synchronize();

namespace detail {
/// Notes a kernel's start, and throws when starting it failed. With the environment variable
/// CAIRN_CUDA_SYNC set, waits for its end, so that the error names the kernel itself.
void started(const char* kernel);
}  // namespace detail

}  // namespace cairn::cuda

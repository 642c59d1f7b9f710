// Where a tensor's bytes live, and how many there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

enum class Device : uint8_t { cpu, cuda };

std::string_view name(Device device);
inline std::ostream& operator<<(std::ostream& out, Device device) { return out << name(device); }

/// What people call devices: "auto" (a GPU if one works), "cpu", "cuda" or "cuda:N".
bool is_device_name(const std::string& name);
/// The one to use. Throws ErrorId::argument for another name, and ErrorId::device, saying why, when
/// a GPU is asked for that cannot be used: nothing is silently computed on the CPU instead.
Device use_device(const std::string& name);

/// Bytes of one device: handed out now, kept for reuse, and the most ever handed out at once.
struct MemoryStats {
  int64_t live = 0, cached = 0, peak = 0;
};

MemoryStats memory_stats(Device device);
/// Starts a new measurement: peak becomes live.
void reset_peak_memory(Device device);
/// Gives cached blocks back to the system.
void empty_cache(Device device);

/// Memory aligned to 64 bytes (256 on the GPU); a freed block of nearly the same size is reused,
/// and what is kept never makes live + cached exceed twice the most that was ever live.
/// Thread-safe. Throws ErrorId::memory, naming live, cached and peak bytes and the largest live
/// blocks, when there is none, and ErrorId::device, saying why, when the device cannot be used.
void* allocate(Device device, int64_t bytes);
void release(Device device, void* block) noexcept;

/// For recorded work, which uses the same memory each time: from construction to close(), blocks
/// that are freed serve only what is allocated until close(), and they are kept until destruction.
class Reservation {
 public:
  explicit Reservation(Device device);
  ~Reservation();
  Reservation(const Reservation&) = delete;
  void close();

 private:
  Device device_;
  std::vector<void*> blocks_;
  bool open_ = true;
};

}  // namespace cairn

#include "tensor/device.h"

#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "tensor/cuda/runtime.h"
#include "tensor/error.h"

namespace cairn {
namespace {

// Under AddressSanitizer every block comes from and goes back to the system, so that a use after
// free is seen.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool keep_freed_blocks = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool keep_freed_blocks = false;
#else
constexpr bool keep_freed_blocks = true;
#endif
#else
constexpr bool keep_freed_blocks = true;
#endif

/// Where a device's blocks come from and go back to.
struct Source {
  const char* name;
  int64_t alignment;
  bool coarse;                       // large sizes are rounded up by as much as an eighth
  void* (*allocate)(int64_t bytes);  // nullptr: there is none left
  void (*release)(void* block);
};

class CachingAllocator {
 public:
  explicit CachingAllocator(const Source& source) : source_(source) {}

  void* allocate(int64_t bytes) {
    require(bytes >= 0 && bytes < (int64_t(1) << 62), ErrorId::memory, "allocate", "a block of ",
            bytes, " bytes was asked for");
    int64_t unit = source_.alignment;
    // Sizes that creep upwards share blocks: on a GPU a new one stalls all work.
    if (source_.coarse && bytes > 65536)
      unit = std::max(unit, int64_t(std::bit_floor(uint64_t(bytes)) / 8));
    const int64_t size = std::max(unit, (bytes + unit - 1) / unit * unit);
    std::lock_guard lock(mutex_);
    auto [block, got] = take(reserved_, size);
    if (!block) std::tie(block, got) = take(free_, size);
    if (!block) {
      got = size;
      trim(std::max(2 * most_live_ - stats_.live - size, stats_.live + size));
      block = source_.allocate(size);
      if (!block) {  // memory in the cache may be of the wrong size: return it and try again
        flush();
        block = source_.allocate(size);
      }
      if (!block)
        throw Error(ErrorId::memory, "allocate",
                    cat("no memory for ", bytes, " bytes on the ", source_.name, " (", stats_.live,
                        " bytes live, ", stats_.cached, " cached, peak ", stats_.peak,
                        largest_live(), ")"));
    }
    sizes_[block] = got;
    stats_.live += got;
    stats_.peak = std::max(stats_.peak, stats_.live);
    most_live_ = std::max(most_live_, stats_.live);
    return block;
  }

  void release(void* block) {
    std::lock_guard lock(mutex_);
    const auto it = sizes_.find(block);
    const int64_t size = it->second;
    sizes_.erase(it);
    stats_.live -= size;
    if (keep_freed_blocks || reserving_) {
      (reserving_ ? reserved_ : free_).emplace(size, block);
      stats_.cached += size;
    } else {
      source_.release(block);
    }
  }

  void begin_reservation() {
    std::lock_guard lock(mutex_);
    require(!reserving_, ErrorId::memory, "allocate", "memory is being reserved already");
    reserving_ = true;
  }
  /// The reserved blocks count as live until they are released.
  std::vector<void*> end_reservation() {
    std::lock_guard lock(mutex_);
    reserving_ = false;
    std::vector<void*> blocks;
    for (const auto& [size, block] : reserved_) {
      blocks.push_back(block);
      sizes_[block] = size;
      stats_.cached -= size;
      stats_.live += size;
    }
    stats_.peak = std::max(stats_.peak, stats_.live);
    most_live_ = std::max(most_live_, stats_.live);
    reserved_.clear();
    return blocks;
  }

  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.live;
  }
  void empty_cache() {
    std::lock_guard lock(mutex_);
    flush();
    most_live_ = stats_.live;
  }

 private:
  using Blocks = std::multimap<int64_t, void*>;

  /// A cached block serves when it wastes less than half of itself; null if there is none.
  std::pair<void*, int64_t> take(Blocks& from, int64_t size) {
    const auto it = from.lower_bound(size);
    if (it == from.end() || it->first >= 2 * size + 4096) return {nullptr, 0};
    const auto [got, block] = *it;
    stats_.cached -= got;
    from.erase(it);
    return {block, got};
  }
  /// "; the largest live blocks: 3 of 78643200 bytes, ..."
  std::string largest_live() const {
    std::map<int64_t, int, std::greater<>> counts;
    for (const auto& [block, size] : sizes_) ++counts[size];
    std::string text;
    int shown = 0;
    for (auto it = counts.begin(); it != counts.end() && shown < 4; ++it, ++shown)
      text += cat(shown ? ", " : "; the largest live blocks: ", it->second, " of ", it->first,
                  " bytes");
    return text;
  }
  /// Sizes that come once (a folder of photos, say) must not pile up: cached blocks go, largest
  /// first, until at most `budget` bytes are left.
  void trim(int64_t budget) {
    while (stats_.cached > budget && !free_.empty()) {
      const auto largest = std::prev(free_.end());
      source_.release(largest->second);
      stats_.cached -= largest->first;
      free_.erase(largest);
    }
  }
  void flush() { trim(0); }

  const Source source_;
  std::mutex mutex_;
  Blocks free_, reserved_;
  bool reserving_ = false;
  std::unordered_map<void*, int64_t> sizes_;
  MemoryStats stats_;
  int64_t most_live_ = 0;  // since the cache was emptied; stats_.peak may be reset
};

constexpr Source cpu_source{"CPU", 64, false,
                            [](int64_t bytes) { return std::aligned_alloc(64, size_t(bytes)); },
                            [](void* block) { std::free(block); }};
constexpr Source cuda_source{"GPU", 256, true, cuda::system_allocate, cuda::system_free};

// Never destroyed: tensors with static storage may outlive any other static object.
CachingAllocator& allocator(Device device) {
  static auto* const cpu = new CachingAllocator(cpu_source);
  if (device == Device::cpu) return *cpu;
  require(cuda::unavailable().empty(), ErrorId::device, "cuda", cuda::unavailable());
  static auto* const gpu = new CachingAllocator(cuda_source);
  return *gpu;
}

}  // namespace

std::string_view name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }
void* allocate(Device device, int64_t bytes) { return allocator(device).allocate(bytes); }
void release(Device device, void* block) noexcept { allocator(device).release(block); }
bool is_device_name(const std::string& name) {
  const bool numbered = name.starts_with("cuda:") && name.size() > 5 && name.size() < 9 &&
                        name.find_first_not_of("0123456789", 5) == std::string::npos;
  return numbered || name == "auto" || name == "cpu" || name == "cuda";
}

Device use_device(const std::string& name) {
  require(is_device_name(name), ErrorId::argument, "device",
          "it must be auto, cpu, cuda or cuda:N, not ", name);
  if (name == "cpu") return Device::cpu;
  if (name == "auto") return cuda::unavailable().empty() ? Device::cuda : Device::cpu;
  cuda::select_device(name == "cuda" ? 0 : std::atoi(name.c_str() + 5));
  return Device::cuda;
}

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }
void empty_cache(Device device) { allocator(device).empty_cache(); }

Reservation::Reservation(Device device) : device_(device) { allocator(device).begin_reservation(); }
void Reservation::close() {
  if (open_) blocks_ = allocator(device_).end_reservation();
  open_ = false;
}
Reservation::~Reservation() {
  close();
  for (void* block : blocks_) release(device_, block);
}

}  // namespace cairn

#include "tensor/device.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>

#include "tensor/error.h"

namespace cairn {
namespace {

constexpr int64_t alignment = 64;

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

class CachingAllocator {
 public:
  void* allocate(int64_t bytes) {
    require(bytes >= 0 && bytes < (int64_t(1) << 62), ErrorId::memory, "allocate", "a block of ",
            bytes, " bytes was asked for");
    const int64_t size = (bytes + alignment - 1) / alignment * alignment;
    std::lock_guard lock(mutex_);
    // A cached block serves when it wastes less than half of itself.
    auto it = free_.lower_bound(size);
    void* block = nullptr;
    int64_t got = size;
    if (it != free_.end() && it->first < 2 * size + 4096) {
      block = it->second;
      got = it->first;
      stats_.cached -= got;
      free_.erase(it);
    } else {
      trim(std::max(2 * most_live_ - stats_.live - size, stats_.live + size));
      block = system_allocate(size);
      if (!block) {  // memory in the cache may be of the wrong size: return it and try again
        flush();
        block = system_allocate(size);
      }
      require(block != nullptr, ErrorId::memory, "allocate", "no memory for ", bytes,
              " bytes on the CPU (", stats_.live, " bytes live, ", stats_.cached, " cached, peak ",
              stats_.peak, ")");
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
    if (keep_freed_blocks) {
      free_.emplace(size, block);
      stats_.cached += size;
    } else {
      std::free(block);
    }
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
  static void* system_allocate(int64_t size) {
    return std::aligned_alloc(size_t(alignment), size_t(std::max(size, alignment)));
  }
  /// Sizes that come once (a folder of photos, say) must not pile up: cached blocks go, largest
  /// first, until at most `budget` bytes are left.
  void trim(int64_t budget) {
    while (stats_.cached > budget) {
      const auto largest = std::prev(free_.end());
      std::free(largest->second);
      stats_.cached -= largest->first;
      free_.erase(largest);
    }
  }
  void flush() { trim(0); }

  std::mutex mutex_;
  std::multimap<int64_t, void*> free_;
  std::unordered_map<void*, int64_t> sizes_;
  MemoryStats stats_;
  int64_t most_live_ = 0;  // since the cache was emptied; stats_.peak may be reset
};

// Never destroyed: tensors with static storage may outlive any other static object.
CachingAllocator& allocator(Device device) {
  require(device == Device::cpu, ErrorId::device, "device",
          "this program was built without CUDA, so there is no device 'cuda'");
  static auto* cpu = new CachingAllocator;
  return *cpu;
}

}  // namespace

std::string_view name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }
void* allocate(Device device, int64_t bytes) { return allocator(device).allocate(bytes); }
void release(Device device, void* block) noexcept { allocator(device).release(block); }
MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }
void empty_cache(Device device) { allocator(device).empty_cache(); }

}  // namespace cairn

#define HWY_WANT_AVX3_DL
#include "tensor/simd.h"

#include <hwy/highway.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "tensor/error.h"

namespace cairn {
namespace {

struct Target {
  std::string name;
  int64_t mask;
};

/// Found once: asking Highway again would undo the choice.
const std::vector<Target>& targets() {
  static const std::vector<Target> found = [] {
    const Target all[] = {
        {"avx512vnni", HWY_AVX3_DL | HWY_AVX3},  // few kernels have their own version for it
        {"avx512", HWY_AVX3},
        {"avx2", HWY_AVX2},
        {"sse4", HWY_SSE4},
#ifdef HWY_SSE2  // Highway before 1.0.4 has "scalar" or "emulated" there
        {"sse2", HWY_SSE2},
#endif
        {"neon", HWY_NEON},
        {"emulated", HWY_EMU128},
        {"scalar", HWY_SCALAR},
    };
    const int64_t have = hwy::SupportedTargets() & HWY_TARGETS;
    std::vector<Target> result;
    std::ranges::copy_if(all, std::back_inserter(result),
                         [&](const Target& t) { return (have & t.mask) == t.mask; });
    return result;
  }();
  return found;
}

std::mutex mutex;
std::string current;

void choose(std::string_view name) {
  const auto found = std::ranges::find(targets(), name, &Target::name);
  if (found == targets().end()) {
    std::string list;
    for (const Target& t : targets()) list += (list.empty() ? "" : ", ") + t.name;
    throw Error(ErrorId::argument, "simd", cat("no target '", name, "' here; there is ", list));
  }
  std::lock_guard lock(mutex);
  hwy::SetSupportedTargetsForTest(found->mask);
  hwy::GetChosenTarget().Update(found->mask);
  current = found->name;
}

}  // namespace

namespace detail {
void prepare_simd() {
  static const bool once = [] {
    const char* wish = std::getenv("CAIRN_SIMD");
    choose(wish && *wish ? std::string(wish) : targets().front().name);
    return true;
  }();
  (void)once;
}
}  // namespace detail

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (const Target& t : targets()) names.push_back(t.name);
  return names;
}

std::string simd_target() {
  detail::prepare_simd();
  std::lock_guard lock(mutex);
  return current;
}

void set_simd_target(std::string_view name) {
  detail::prepare_simd();
  choose(name);
}

}  // namespace cairn

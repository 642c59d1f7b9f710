#include "tensor/simd.h"

#include <hwy/highway.h>

#include <cstdlib>

#include "tensor/error.h"

namespace cairn {
namespace {

struct Named {
  const char* name;
  int64_t mask;
};
#ifndef HWY_SSE2  // Highway before 1.0.4 goes from SSSE3 straight to its emulation
#define HWY_SSE2 0
#endif
constexpr Named all_targets[] = {
    {"avx512", HWY_AVX3}, {"avx2", HWY_AVX2}, {"sse4", HWY_SSE4},     {"ssse3", HWY_SSSE3},
    {"sse2", HWY_SSE2},   {"neon", HWY_NEON}, {"scalar", HWY_SCALAR}, {"emulated", HWY_EMU128},
};

}  // namespace

std::vector<std::string> simd_targets() {
  std::vector<std::string> found;
  hwy::SetSupportedTargetsForTest(0);
  const int64_t have = hwy::SupportedTargets() & HWY_TARGETS;
  for (const Named& t : all_targets)
    if (have & t.mask) found.push_back(t.name);
  return found;
}

namespace {
std::string& current() {
  static std::string name;
  return name;
}

void choose(std::string_view name) {
  const auto have = simd_targets();  // also lifts an earlier restriction
  for (const Named& t : all_targets) {
    if (t.name != name) continue;
    for (const auto& h : have) {
      if (h != name) continue;
      hwy::SetSupportedTargetsForTest(t.mask);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
      current() = name;
      return;
    }
  }
  std::string list;
  for (const auto& h : have) list += (list.empty() ? "" : ", ") + h;
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  throw Error(ErrorId::argument, "simd", cat("no target '", name, "' here; there is ", list));
}
}  // namespace

namespace detail {
void prepare_simd() {
  static const bool once = [] {
    const char* wish = std::getenv("CAIRN_SIMD");
    choose(wish && *wish ? std::string(wish) : simd_targets().front());
    return true;
  }();
  (void)once;
}
}  // namespace detail

std::string simd_target() {
  detail::prepare_simd();
  return current();
}

void set_simd_target(std::string_view name) {
  detail::prepare_simd();
  choose(name);
}

}  // namespace cairn

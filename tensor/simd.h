// Which instruction set the vectorised kernels use. They are written once with Google Highway and
// chosen at run time, so a binary built anywhere runs anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

/// Names of the targets that this build has and this machine runs, best first: "avx512vnni",
/// "avx512", "avx2", "sse4", "sse2", "neon", "scalar", ...
std::vector<std::string> simd_targets();
/// The target in use. Default: the environment variable CAIRN_SIMD, else the best.
std::string simd_target();
/// Forces a target; throws ErrorId::argument, listing the choices, when it is not there.
void set_simd_target(std::string_view name);

namespace detail {
void prepare_simd();  // reads CAIRN_SIMD once, before the first dispatch
}
/// Use in place of HWY_DYNAMIC_DISPATCH.
#define CAIRN_SIMD_DISPATCH(function) \
  (::cairn::detail::prepare_simd(), HWY_DYNAMIC_DISPATCH(function))

}  // namespace cairn

#include "tensor/simd.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tensor/error.h"
#include "tensor/kernels/gemm/micro_kernel.h"

using namespace cairn;

TEST_CASE("the targets are listed best first and each can be forced") {
  const std::string before = simd_target();
  const auto targets = simd_targets();
  REQUIRE(!targets.empty());
  int64_t lanes = INT64_MAX;
  for (const auto& target : targets) {
    set_simd_target(target);
    CHECK(simd_target() == target);
    CHECK(simd_targets() == targets);  // a choice does not narrow later ones
    // What dispatch runs has changed with the name: vectors get no longer down the list.
    const int64_t now = kernels::micro_kernel<float>().lanes;
    CAPTURE(target);
    CHECK(now <= lanes);
    if (target.starts_with("avx512")) CHECK(now == 16);
    if (target == "avx2") CHECK(now == 8);
    if (target == "sse4" || target == "sse2" || target == "neon") CHECK(now == 4);
    if (target == "scalar") CHECK(now == 1);
    lanes = now;
  }
  set_simd_target(before);
}

TEST_CASE("an unknown target is refused by name, and the one in use stays") {
  const std::string before = simd_target();
  const int64_t lanes = kernels::micro_kernel<float>().lanes;
  try {
    set_simd_target("mmx");
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(e.id() == ErrorId::argument);
    const std::string text = e.what();
    CHECK(text.find("'mmx'") != std::string::npos);
    for (const auto& target : simd_targets()) CHECK(text.find(target) != std::string::npos);
  }
  CHECK(simd_target() == before);
  CHECK(kernels::micro_kernel<float>().lanes == lanes);
}

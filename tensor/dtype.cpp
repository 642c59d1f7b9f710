#include "tensor/dtype.h"

#include <cmath>

namespace cairn {

f16_t::f16_t(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint16_t sign = uint16_t((u >> 16) & 0x8000);
  const float magnitude = std::fabs(value);
  if (value != value) {
    bits = uint16_t(sign | 0x7e00);
  } else if (magnitude >= 65520.0f) {  // rounds to infinity
    bits = uint16_t(sign | 0x7c00);
  } else if (magnitude < 0x1p-14f) {  // subnormal: units of 2^-24, rounded by the FPU
    bits = uint16_t(sign | uint16_t(std::nearbyint(magnitude * 0x1p24f)));
  } else {
    const uint32_t m = u & 0x7fffffff;
    bits = uint16_t(sign | uint16_t((m - 0x38000000 + 0xfff + ((m >> 13) & 1)) >> 13));
  }
}

f16_t::operator float() const {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 0x3ff;
  float m;
  if (exponent == 31)
    m = mantissa ? NAN : INFINITY;
  else if (exponent == 0)
    m = float(mantissa) * 0x1p-24f;
  else
    m = std::ldexp(float(mantissa + 1024), exponent - 25);
  return bits & 0x8000 ? -m : m;
}

int64_t item_size(DType type) {
  return dispatch_all(type, []<class T>() { return int64_t(sizeof(T)); });
}

std::string_view name(DType type) {
  constexpr std::string_view names[] = {"f32", "f64", "f16", "bf16", "i32", "i64", "u8"};
  return names[static_cast<int>(type)];
}

}  // namespace cairn

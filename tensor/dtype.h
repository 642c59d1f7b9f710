// Element types. Arithmetic is done in f32 and f64; f16 and bf16 are storage formats.
#pragma once

#include <bit>
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

#include "tensor/error.h"

namespace cairn {

enum class DType : uint8_t { f32, f64, f16, bf16, i32, i64, u8 };

/// IEEE 754 binary16, stored only. Conversions round to nearest even.
struct f16_t {
  uint16_t bits = 0;
  f16_t() = default;
  explicit f16_t(float value);
  explicit operator float() const;
};

/// The upper half of a float, stored only. Conversions round to nearest even.
struct bf16_t {
  uint16_t bits;
  bf16_t() = default;  // constexpr below: the GPU's compiler takes such functions too
  constexpr explicit bf16_t(float value)
      : bits(value != value ? uint16_t((std::bit_cast<uint32_t>(value) >> 16) | 0x40)
                            : uint16_t((std::bit_cast<uint32_t>(value) + 0x7fff +
                                        ((std::bit_cast<uint32_t>(value) >> 16) & 1)) >>
                                       16)) {}
  constexpr explicit operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

int64_t item_size(DType type);
std::string_view name(DType type);
inline std::ostream& operator<<(std::ostream& out, DType type) { return out << name(type); }

/// The DType of a C++ type: dtype_of<float>() == DType::f32.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, f16_t>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, bf16_t>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::i32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return DType::i64;
  else {
    static_assert(std::is_same_v<T, uint8_t>, "no DType for this type");
    return DType::u8;
  }
}

/// What results are summed and stored in where digits count: bf16 is computed in f32.
inline DType compute_dtype(DType type) { return type == DType::bf16 ? DType::f32 : type; }

/// Calls f.operator()<float>() or <double>(); throws ErrorId::dtype for any other type.
template <class F>
decltype(auto) dispatch_float(DType type, std::string_view op, F&& f) {
  switch (type) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f64:
      return f.template operator()<double>();
    default:
      throw Error(ErrorId::dtype, op, cat("computes in f32 or f64, not in ", name(type)));
  }
}

/// Calls f with every element type.
template <class F>
decltype(auto) dispatch_all(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f64:
      return f.template operator()<double>();
    case DType::f16:
      return f.template operator()<f16_t>();
    case DType::bf16:
      return f.template operator()<bf16_t>();
    case DType::i32:
      return f.template operator()<int32_t>();
    case DType::i64:
      return f.template operator()<int64_t>();
    case DType::u8:
      break;
  }
  return f.template operator()<uint8_t>();
}

}  // namespace cairn

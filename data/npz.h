// NumPy's archives of arrays.
#pragma once

#include <map>
#include <span>
#include <string>
#include <variant>

#include "tensor/tensor.h"

namespace cairn {

/// An array of numbers, or a text (which NumPy has as an array of one string).
using NpzEntry = std::variant<Tensor, std::string>;
using NpzArchive = std::map<std::string, NpzEntry>;

/// Reads a .npz, compressed or not: f32, f64, i32, i64, u8 and bool (as u8) arrays in C order and
/// ASCII texts. Throws ErrorId::io when it cannot be read and ErrorId::format when it is damaged,
/// holds something else, or would unpack to more than `max_bytes`.
NpzArchive read_npz(const std::string& path, int64_t max_bytes = int64_t{1} << 30);
/// The same from bytes; `name` stands for the path in errors.
NpzArchive read_npz_from_memory(std::span<const uint8_t> bytes, const std::string& name,
                                int64_t max_bytes = int64_t{1} << 30);

/// Writes one, not compressed as numpy.savez does, whole or not at all. Equal entries give equal
/// bytes.
void write_npz(const std::string& path, const NpzArchive& entries);

}  // namespace cairn

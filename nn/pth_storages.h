// What reading and writing .pth files share.
#pragma once

#include "tensor/dtype.h"

namespace cairn::nn {

/// PyTorch's storages, and what of ours they become.
struct StorageKind {
  const char* name;
  int64_t item_size;
  DType type;
};
inline constexpr StorageKind storage_kinds[] = {
    {"FloatStorage", 4, DType::f32}, {"DoubleStorage", 8, DType::f64},
    {"HalfStorage", 2, DType::f16},  {"BFloat16Storage", 2, DType::bf16},
    {"LongStorage", 8, DType::i64},  {"IntStorage", 4, DType::i32},
    {"ShortStorage", 2, DType::i32}, {"CharStorage", 1, DType::i32},
    {"ByteStorage", 1, DType::u8},   {"BoolStorage", 1, DType::u8},
};

}  // namespace cairn::nn

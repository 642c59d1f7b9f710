#include "autograd/op.h"

namespace cairn {

std::span<const OpEntry> all_ops() {
  static const OpEntry entries[] = {
#define CAIRN_OP(Type) op_entry_##Type(),
#include "autograd/ops.def"
#undef CAIRN_OP
  };
  return entries;
}

}  // namespace cairn

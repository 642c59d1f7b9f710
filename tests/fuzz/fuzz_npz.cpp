// libFuzzer (`make fuzz`): whatever the bytes, read_npz either gives arrays or throws Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "data/npz.h"

using namespace cairn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    for (const auto& [name, entry] : read_npz_from_memory({data, size}, "memory", 1 << 22))
      if (const auto* t = std::get_if<Tensor>(&entry); t && t->nbytes() > 1 << 22) std::abort();
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
  }
  return 0;
}

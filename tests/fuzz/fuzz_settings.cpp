// libFuzzer (`make fuzz`): whatever the text, settings are read, written and read alike, or Error
// is thrown.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "ucn/train_options.h"

using namespace cairn;
using namespace cairn::ucn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const TrainOptions o =
        train_options_from_json(std::string(data, data + size), "fuzz", preset("reference"));
    const std::string text = to_json(o);
    if (to_json(train_options_from_json(text, "again")) != text) std::abort();
    check(o);
  } catch (const Error& error) {
    if (error.id() != ErrorId::format && error.id() != ErrorId::usage) std::abort();
  }
  return 0;
}

// libFuzzer (`make fuzz`): whatever the bytes, a PyTorch file is read or Error is thrown. They are
// also read as the pickle of an archive with a storage.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "nn/pth.h"
#include "ucn/reference_checkpoint.h"

using namespace cairn;

namespace {

void check(std::span<const uint8_t> bytes) {
  try {
    const nn::TensorFile file = nn::parse_pth(bytes, "fuzz");
    ucn::training_of(file, {"a", "b"}, "fuzz");
    ucn::weights_of(file, "fuzz");
  } catch (const Error& error) {
    if (error.id() != ErrorId::format && error.id() != ErrorId::weights) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check({data, size});
  // The older form needs no checksums: its magic number, two pickles, the fuzzer's, the keys.
  const std::string_view front(
      "\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8P\x19.\x80\2M\xe9\3.\x80\2}.");
  const std::string_view back(
      "\x80\2]X\1\0\0\0"
      "0a.\4\0\0\0\0\0\0\0"
      "0123456789abcdef");
  std::vector<uint8_t> framed(front.begin(), front.end());
  framed.insert(framed.end(), data, data + size);
  framed.insert(framed.end(), back.begin(), back.end());
  check(framed);
  return 0;
}

// libFuzzer: whatever the bytes, parse_safetensors either gives tensors or throws a format error;
// and what it gives can be saved and read again.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "nn/safetensors.h"
#include "tests/compare.h"

using namespace cairn;

namespace {

using nn::TensorFile;

bool same(const TensorFile& a, const TensorFile& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& t : a.tensors)  // tensors without bytes may change places
    if (!b.find(t.name) || !same_bits(*b.find(t.name), t.tensor)) return false;
  return true;
}

bool parse(std::span<const uint8_t> bytes, TensorFile& file) {
  try {
    file = nn::parse_safetensors(bytes, "f");
    return true;
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
    if (std::strpbrk(error.what(), "\n\r\x1b")) std::abort();
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string path =
      std::filesystem::temp_directory_path() / cat("cairn-fuzz-", ::getpid());
  TensorFile file;
  // Saving is slow beside parsing, and once in a while is often enough.
  static unsigned count = 0;
  if (parse({data, size}, file) && count++ % 64 == 0) {
    nn::save_safetensors(path, file);
    const TensorFile again = nn::load_safetensors(path);
    std::filesystem::remove(path);
    if (!same(again, file)) std::abort();
  }
  // The fuzzer cannot guess a header's length: whatever it wrote is also tried as header and data.
  for (size_t header : {size, size / 2}) {
    std::vector<uint8_t> framed(8 + size);
    const uint64_t length = header;
    std::memcpy(framed.data(), &length, 8);
    std::copy(data, data + size, framed.begin() + 8);
    parse(framed, file);
  }
  return 0;
}

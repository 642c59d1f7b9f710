// libFuzzer: whatever the bytes, parse_safetensors either gives tensors or throws a format error;
// and what it gives can be saved and read again.
#include <unistd.h>

#include <algorithm>
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

void check(std::span<const uint8_t> bytes) {
  TensorFile file;
  try {
    file = nn::parse_safetensors(bytes, "f");
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
    if (std::strpbrk(error.what(), "\n\r\x1b")) std::abort();
    return;
  }
  // Saving is slow beside parsing, and once in a while is often enough.
  static unsigned count = 0;
  if (count++ % 64) return;
  static const std::string path =
      std::filesystem::temp_directory_path() / cat("cairn-fuzz-", ::getpid());
  nn::save_safetensors(path, file);
  const TensorFile again = nn::load_safetensors(path);
  std::filesystem::remove(path);
  if (!same(again, file)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check({data, size});
  // The fuzzer cannot guess a header's length, so its bytes are also read as a line of JSON, which
  // is then given its length, and data.
  const uint8_t* const end = std::find(data, data + size, '\n');
  const uint64_t header = uint64_t(end - data);
  std::vector<uint8_t> framed(8);
  std::memcpy(framed.data(), &header, 8);
  framed.insert(framed.end(), data, end);
  if (end != data + size) framed.insert(framed.end(), end + 1, data + size);
  check(framed);
  return 0;
}

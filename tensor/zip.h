// Zip archives: NumPy's .npz and PyTorch's .pth are ones.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

struct ZipEntry {
  std::string name;
  std::vector<uint8_t> bytes;
};

/// All entries, unpacked, in their order; `name` stands for the archive and `op` before the text in
/// errors. Throws ErrorId::format when it is damaged or would unpack to more than `max_bytes`.
std::vector<ZipEntry> read_zip(std::span<const uint8_t> bytes, const std::string& name,
                               int64_t max_bytes, std::string_view op);

/// Writes an archive, not compressed, whole or not at all. Equal entries give equal bytes.
void write_zip(const std::string& path, const std::vector<ZipEntry>& entries, std::string_view op);

}  // namespace cairn

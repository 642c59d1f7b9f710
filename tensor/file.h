// Whole files: read with a limit, and written so that a reader never sees half of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

/// The bytes of a file. Throws ErrorId::io, naming the path and the system's reason, when it is
/// missing, a folder, unreadable, or has more than `max_bytes`. `op` is the name errors begin with.
std::vector<uint8_t> read_file(const std::string& path, int64_t max_bytes = int64_t{1} << 36,
                               std::string_view op = "read_file");

/// The lines of a text file that are not empty, without the blanks at their ends. Throws as
/// read_file().
std::vector<std::string> read_lines(const std::string& path, std::string_view op = "read_lines");

/// A file that appears under its name only when it is whole: bytes go to a temporary file beside
/// it, which commit() syncs and renames. Without commit() (an exception, say) the temporary is
/// removed and an older file of that name stays as it was. A path that names a device or a pipe
/// is written directly. Every failure throws ErrorId::io naming the path and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path, std::string_view op = "write_file");
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  [[noreturn]] void fail(std::string_view what, int error) const;
  void flush();

  std::string path_, target_, temporary_, op_;  // target_: path_ with symbolic links resolved
  std::vector<uint8_t> buffer_;
  int fd_ = -1;
};

/// An AtomicFile of bytes that are already in memory.
void write_file_atomically(const std::string& path, std::span<const uint8_t> bytes,
                           std::string_view op = "write_file");
void write_file_atomically(const std::string& path, std::string_view text,
                           std::string_view op = "write_file");

}  // namespace cairn

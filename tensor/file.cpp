#include "tensor/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "tensor/error.h"

namespace cairn {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::vector<uint8_t> read_file(const std::string& path, int64_t max_bytes, std::string_view op) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  require(file.fd >= 0, ErrorId::io, op, "cannot open '", path, "': ", reason(errno));
  struct stat info {};
  require(::fstat(file.fd, &info) == 0, ErrorId::io, op, "cannot read '", path,
          "': ", reason(errno));
  require(!S_ISDIR(info.st_mode), ErrorId::io, op, "'", path, "' is a folder, not a file");
  require(info.st_size <= max_bytes, ErrorId::io, op, "'", path, "' has ", info.st_size,
          " bytes, more than the ", max_bytes, " that are accepted");

  // One byte more than expected, so that the end is seen without growing; pipes have no size.
  std::vector<uint8_t> bytes(size_t(info.st_size) + 1);
  size_t size = 0;
  for (;;) {
    if (size == bytes.size()) bytes.resize(std::max(bytes.size() * 2, size_t{1} << 16));
    const ssize_t n = ::read(file.fd, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    require(n >= 0, ErrorId::io, op, "cannot read '", path, "': ", reason(errno));
    if (n == 0) break;
    size += size_t(n);
    require(size <= size_t(max_bytes), ErrorId::io, op, "'", path, "' has more than the ",
            max_bytes, " bytes that are accepted");
  }
  bytes.resize(size);
  return bytes;
}

std::vector<std::string> read_lines(const std::string& path, std::string_view op) {
  const auto bytes = read_file(path, int64_t{1} << 30, op);
  std::istringstream text(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

AtomicFile::AtomicFile(const std::string& path, std::string_view op)
    : path_(path), target_(path), op_(op) {
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) fail("cannot write", EISDIR);
  if (exists && !S_ISREG(info.st_mode)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail("cannot write", errno);
    return;
  }
  std::error_code ignored;
  if (exists)  // through a link, its target is replaced and the link stays
    if (const auto real = std::filesystem::canonical(path, ignored); !ignored) target_ = real;

  static std::atomic<uint64_t> counter{0};
  do {
    temporary_ = cat(target_, ".", ::getpid(), "-", counter++, ".tmp");
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) {
    const int error = errno;
    temporary_.clear();
    fail("cannot write", error);
  }
  if (exists) (void)!::fchmod(fd_, info.st_mode & 07777);  // best effort
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(std::string_view what, int error) const {
  throw Error(ErrorId::io, op_, cat(what, " '", path_, "': ", reason(error)));
}

void AtomicFile::flush() {
  for (size_t done = 0; done < buffer_.size();) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write", errno);
    done += size_t(n);
  }
  buffer_.clear();
}

void AtomicFile::write(const void* bytes, size_t size) {
  require(fd_ >= 0, ErrorId::argument, op_, "'", path_, "' is already committed");
  const auto* first = static_cast<const uint8_t*>(bytes);
  buffer_.insert(buffer_.end(), first, first + size);
  if (buffer_.size() >= size_t{1} << 20) flush();
}

void AtomicFile::commit() {
  require(fd_ >= 0, ErrorId::argument, op_, "'", path_, "' is already committed");
  flush();
  if (!temporary_.empty() && ::fsync(fd_) != 0) fail("cannot write", errno);
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) fail("cannot write", errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot rename to", errno);
  temporary_.clear();

  // The new name itself survives a power cut only when the folder is synced; not all systems can.
  const auto folder = std::filesystem::path(target_).parent_path();
  const int folder_fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (folder_fd >= 0) {
    ::fsync(folder_fd);
    ::close(folder_fd);
  }
}

void write_file_atomically(const std::string& path, std::span<const uint8_t> bytes,
                           std::string_view op) {
  AtomicFile file(path, op);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

void write_file_atomically(const std::string& path, std::string_view text, std::string_view op) {
  write_file_atomically(path, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()),
                        op);
}

}  // namespace cairn

#include "ucn/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "tensor/error.h"

namespace cairn::ucn {

namespace fs = std::filesystem;

RunFolder::RunFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path)) error = std::make_error_code(std::errc::not_a_directory);
  require(!error, ErrorId::io, "train", "cannot make the folder '", path, "': ", error.message());
  fd_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A file system without locks is no reason to refuse.
  if (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd_);
    throw Error(ErrorId::io, "train", cat("another training is writing to '", path, "'"));
  }
  std::vector<fs::path> left;  // AtomicFile's temporaries
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename();
    for (const char* own : {"checkpoint-", "weights.safetensors.", "best.safetensors.",
                            "curves.svg.", "events.", "config.json.", "log.jsonl."})
      if (name.starts_with(own) && name.ends_with(".tmp")) left.push_back(entry.path());
  }
  for (const auto& file : left) fs::remove(file, error);
}

RunFolder::~RunFolder() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace cairn::ucn

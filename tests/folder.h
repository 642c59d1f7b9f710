// A place for a test's files.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "tensor/error.h"

namespace cairn::test {

/// A folder that is gone at the end of the test.
struct Folder {
  std::filesystem::path path;
  Folder() {
    static int count = 0;
    path = std::filesystem::temp_directory_path() / cat("cairn-test-", ::getpid(), "-", count++);
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path / name; }
  long entries() const { return std::distance(std::filesystem::directory_iterator(path), {}); }
};

}  // namespace cairn::test

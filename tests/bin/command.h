// Runs the real programs, as a person at a shell would.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/data/sample_files.h"

namespace cairn::test {

inline std::string contents(const std::string& path) {
  const auto bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

struct Finished {
  int code = -1;  ///< exit code; 128 + n if signal n ended it
  std::string out, err;
  /// It failed with this code and said why in exactly one line.
  bool failed_in_one_line(int expected) const {
    return code == expected && err.find('\n') == err.size() - 1 && err.size() > 10;
  }
};

/// A shell command that is running. The programs' folder is first on its PATH.
class Command {
 public:
  explicit Command(const std::string& line) : pid_(::fork()) {
    if (pid_ != 0) return;
    const std::string path = std::string(CAIRN_BIN_DIR) + ":" + std::getenv("PATH");
    ::setenv("PATH", path.c_str(), 1);
    const std::string with_files =
        "exec >'" + folder_ / "out" + "' 2>'" + folder_ / "err" + "'; " + line;
    ::execl("/bin/sh", "sh", "-c", with_files.c_str(), nullptr);
    ::_exit(127);
  }
  ~Command() {
    send(SIGKILL);
    wait();
  }
  void send(int signal) const {
    if (!finished_) ::kill(pid_, signal);
  }
  bool running() {
    if (!finished_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) finished_ = true;
    return !finished_;
  }
  Finished wait() {
    if (!finished_) ::waitpid(pid_, &status_, 0);
    finished_ = true;
    // A command may be killed before its shell has made the files.
    const auto said = [&](const char* name) {
      return std::filesystem::exists(folder_ / name) ? contents(folder_ / name) : "";
    };
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), said("out"),
            said("err")};
  }
  /// Waits until `happened` or the command's end; true if it happened.
  template <class F>
  bool until(F&& happened) {
    while (running()) {
      if (happened()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return happened();
  }

 private:
  Folder folder_;
  pid_t pid_;
  int status_ = 0;
  bool finished_ = false;
};

inline Finished run(const std::string& line) { return Command(line).wait(); }

/// Names in a folder that end in `end`.
inline std::vector<std::string> files_ending(const std::string& folder, const std::string& end) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (std::string name = entry.path().filename(); name.ends_with(end)) names.push_back(name);
  return names;
}

}  // namespace cairn::test

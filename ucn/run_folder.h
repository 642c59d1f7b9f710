// The folder of a training run.
#pragma once

#include <string>

namespace cairn::ucn {

/// Makes the folder and holds it against a second training until destruction (or the end of the
/// process, however it ends). Temporary files that a killed run left behind are removed.
class RunFolder {
 public:
  /// Throws ErrorId::io when it cannot be made, or when another process holds it.
  explicit RunFolder(const std::string& path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace cairn::ucn

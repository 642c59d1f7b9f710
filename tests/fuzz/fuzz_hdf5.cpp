// libFuzzer (`make fuzz`): whatever the file holds, a calibration is read or Error is thrown.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "data/yfcc/yfcc.h"

using namespace cairn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string path =
      std::filesystem::temp_directory_path() / cat("fuzz-hdf5-", ::getpid(), ".h5");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), std::streamsize(size));
  try {
    const YfccCalibration c = read_yfcc_calibration(path);
    for (double v : c.k_inverse)
      if (!std::isfinite(v)) std::abort();
  } catch (const Error& error) {
    if (error.id() != ErrorId::format) std::abort();
  }
  return 0;
}

// What the GPU's side is told, the same for the real and the emulated one.
#include <atomic>
#include <cstdlib>

#include "tensor/cuda/runtime.h"

namespace cairn::cuda {
namespace {

std::atomic<Math> chosen_math{Math::fp32};

std::atomic<bool>& libraries() {
  static std::atomic<bool> use = [] {
    const char* text = std::getenv("CAIRN_CUDA_LIBRARIES");
    return !text || std::string(text) != "0";
  }();
  return use;
}

}  // namespace

Math math() { return chosen_math; }
void set_math(Math math) { chosen_math = math; }
bool use_libraries() { return libraries(); }
void set_use_libraries(bool use) { libraries() = use; }

}  // namespace cairn::cuda

// Shared libraries that are looked for when they are first needed, so that a program starts on a
// machine without them and can say what is missing.
#pragma once

#include <string>
#include <vector>

namespace cairn::cuda {

/// Folders searched after the loader's own (LD_LIBRARY_PATH, ldconfig): those of CUDA_HOME and of
/// /usr/local/cuda.
std::vector<std::string> library_folders();

/// One shared library, loaded as long as the process lives.
class Library {
 public:
  /// The first of `names` that can be loaded, each looked for in all places before the next.
  explicit Library(const std::vector<std::string>& names,
                   const std::vector<std::string>& folders = library_folders());

  /// Whether it is loaded and has had all functions asked for.
  bool usable() const { return problem_.empty(); }
  /// Why not, on one line: "libcudnn_graph.so.9 is not there (...)".
  const std::string& problem() const { return problem_; }

  /// The function `name` as an F*, nullptr if it is missing, which is a problem from then on:
  ///   auto* version = library.function<size_t()>("cudnnGetVersion");
  template <class F>
  F* function(const char* name) {
    return reinterpret_cast<F*>(address(name));
  }

 private:
  void* address(const char* name);

  void* handle_ = nullptr;
  std::string name_, problem_;
};

}  // namespace cairn::cuda

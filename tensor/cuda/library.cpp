#include "tensor/cuda/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

#include "tensor/error.h"

namespace cairn::cuda {

std::vector<std::string> library_folders() {
  std::vector<std::string> folders;
  const char* home = std::getenv("CUDA_HOME");
  for (const std::string& root : {std::string(home ? home : ""), std::string("/usr/local/cuda")})
    if (!root.empty())
      for (const char* folder : {"/lib64", "/lib"})
        if (std::find(folders.begin(), folders.end(), root + folder) == folders.end())
          folders.push_back(root + folder);
  return folders;
}

Library::Library(const std::vector<std::string>& names, const std::vector<std::string>& folders) {
  std::string places = "where the loader looks";
  for (const auto& folder : folders) places += ", in " + folder;
  for (const auto& name : names) {
    std::vector<std::string> paths{name};
    for (const auto& folder : folders) paths.push_back(folder + "/" + name);
    for (const auto& path : paths) {
      // RTLD_LOCAL: its functions are called by address alone, and must not take others' names.
      handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle_) {
        name_ = name;
        problem_.clear();
        return;
      }
      const char* text = dlerror();
      const std::string error = text ? text : "";
      // A file that is there but does not load is the better thing to report.
      const bool absent =
          error.starts_with(path + ": cannot open shared object file: No such file");
      if (!absent) problem_ = cat(name, " does not load: ", error);
    }
  }
  if (!problem_.empty()) return;
  for (const auto& name : names) problem_ += (problem_.empty() ? "" : " or ") + name;
  problem_ += cat(" is not there (looked ", places, ")");
}

void* Library::address(const char* name) {
  if (!handle_) return nullptr;
  void* const found = dlsym(handle_, name);
  if (!found && problem_.empty()) problem_ = cat(name_, " is too old: it lacks ", name);
  return found;
}

}  // namespace cairn::cuda

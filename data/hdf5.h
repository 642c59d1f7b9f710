// Numbers from HDF5 files.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace cairn {

/// A data set that is wanted, and how many elements it may have.
struct Hdf5Wish {
  std::string name;
  int64_t max_elements;
};

/// Data sets of numbers, in their shapes, as f64. Throws ErrorId::io when the file is missing and
/// ErrorId::format when it is damaged, lacks one of them, or one has too many elements. HDF5's
/// library (1.10) crashes on some damaged files, so a child process does the reading.
std::vector<Tensor> read_hdf5(const std::string& path, const std::vector<Hdf5Wish>& wishes);

}  // namespace cairn

// Numbers from HDF5 files.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace cairn {

/// A data set of numbers, in its shape, as f64. Throws ErrorId::io when the file is missing and
/// ErrorId::format when it is damaged, has no such data set, or has more than `max_elements`.
Tensor read_hdf5(const std::string& path, const std::string& name, int64_t max_elements);

}  // namespace cairn

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

/// Writes data sets (f32, f64, i32, i64) of a new HDF5 file, in the form every version reads; a
/// name with slashes makes groups. The file appears under its name when it is whole. Throws
/// ErrorId::io, and ErrorId::argument for a name that is given twice or is the group of another.
class Hdf5Writer {
 public:
  explicit Hdf5Writer(const std::string& path);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;
  void add(const std::string& name, const Tensor& values);
  void commit();

 private:
  std::string path_, temporary_;
  int64_t file_ = -1, make_groups_ = -1;
};

}  // namespace cairn

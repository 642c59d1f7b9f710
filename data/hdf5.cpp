#include "data/hdf5.h"

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <vector>

namespace cairn {
namespace {

/// What HDF5 hands out, given back.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

}  // namespace

Tensor read_hdf5(const std::string& path, const std::string& name, int64_t max_elements) {
  static std::mutex library;  // which is not made for several threads
  std::lock_guard lock(library);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // what it would print is said by the errors below
  std::error_code ignored;
  require(std::filesystem::is_regular_file(path, ignored), ErrorId::io, "hdf5",
          "there is no file '", path, "'");
  const auto check = [&](bool ok, const std::string& what) {
    require(ok, ErrorId::format, "hdf5", "'", path, "': ", what);
  };
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  check(file.ok(), "it is not an HDF5 file, or damaged");
  const Handle data(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  check(data.ok(), cat("it has no data set '", name, "'"));
  const Handle space(H5Dget_space(data), H5Sclose), type(H5Dget_type(data), H5Tclose);
  check(space.ok() && type.ok(), cat("'", name, "' cannot be read"));
  const H5T_class_t kind = H5Tget_class(type);
  check(kind == H5T_FLOAT || kind == H5T_INTEGER, cat("'", name, "' holds no numbers"));
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  check(count >= 0 && count <= max_elements,
        cat("'", name, "' has ", count, " elements; at most ", max_elements, " make sense"));
  const int rank = H5Sget_simple_extent_ndims(space);
  check(rank >= 0 && rank <= 8, cat("'", name, "' has ", rank, " dimensions"));
  std::vector<hsize_t> extents(static_cast<size_t>(rank));
  H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  const std::vector<int64_t> dims(extents.begin(), extents.end());
  Tensor values = Tensor::zeros(Shape(std::span<const int64_t>(dims)), DType::f64);
  if (count > 0)
    check(
        H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data<double>()) >= 0,
        cat("'", name, "' cannot be read"));
  return values;
}

}  // namespace cairn

#include "data/hdf5.h"

#include <fcntl.h>
#include <hdf5.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

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

/// Appends a data set's rank, its extents and its numbers. Only the child process may call it, and
/// there no allocator but malloc's: other threads were perhaps holding a lock when it was forked.
void append(std::string& out, const std::string& path, const Hdf5Wish& wish) {
  const auto check = [&](bool ok, const std::string& what) {
    require(ok, ErrorId::format, "hdf5", "'", path, "': ", what);
  };
  const auto& [name, most] = wish;
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  check(file.ok(), "it is not an HDF5 file, or damaged");
  const Handle data(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  check(data.ok(), cat("it has no data set '", name, "'"));
  const Handle space(H5Dget_space(data), H5Sclose), type(H5Dget_type(data), H5Tclose);
  check(space.ok() && type.ok(), cat("'", name, "' cannot be read"));
  const H5T_class_t kind = H5Tget_class(type);
  check(kind == H5T_FLOAT || kind == H5T_INTEGER, cat("'", name, "' holds no numbers"));
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  check(count >= 0 && count <= most,
        cat("'", name, "' has ", count, " elements; at most ", most, " make sense"));
  const int64_t rank = H5Sget_simple_extent_ndims(space);
  check(rank >= 0 && rank <= Shape::max_rank, cat("'", name, "' has ", rank, " dimensions"));
  std::vector<hsize_t> extents(static_cast<size_t>(rank));
  H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  out.append(reinterpret_cast<const char*>(&rank), sizeof rank);
  out.append(reinterpret_cast<const char*>(extents.data()), extents.size() * sizeof(hsize_t));
  std::vector<double> values(static_cast<size_t>(count));
  check(count == 0 ||
            H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
        cat("'", name, "' cannot be read"));
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
}

/// What a child process makes of it: all wishes or, after a rank of -1, the error's text.
std::string read_all(const std::string& path, const std::vector<Hdf5Wish>& wishes) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // what it would print is said by the errors
  std::string out;
  try {
    for (const Hdf5Wish& wish : wishes) append(out, path, wish);
  } catch (const std::exception& e) {
    const int64_t failed = -1;
    out.assign(reinterpret_cast<const char*>(&failed), sizeof failed);
    out += e.what();
  }
  return out;
}

}  // namespace

std::vector<Tensor> read_hdf5(const std::string& path, const std::vector<Hdf5Wish>& wishes) {
  std::error_code ignored;
  require(std::filesystem::is_regular_file(path, ignored), ErrorId::io, "hdf5",
          "there is no file '", path, "'");
  int ends[2];
  require(::pipe2(ends, O_CLOEXEC) == 0, ErrorId::io, "hdf5", "no pipe: ", std::strerror(errno));
  const pid_t child = ::fork();
  if (child == 0) {
    for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE}) ::signal(signal, SIG_DFL);
    ::alarm(60);  // it may also never end
    const std::string out = read_all(path, wishes);
    for (size_t done = 0; done < out.size();) {
      const ssize_t n = ::write(ends[1], out.data() + done, out.size() - done);
      if (n <= 0) break;
      done += size_t(n);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string out;
  std::vector<char> part(1 << 16);
  for (ssize_t n; child > 0 && ((n = ::read(ends[0], part.data(), part.size())) > 0 ||
                                (n < 0 && errno == EINTR));)
    if (n > 0) out.append(part.data(), size_t(n));
  ::close(ends[0]);
  require(child > 0, ErrorId::io, "hdf5", "no process to read it in: ", std::strerror(errno));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  require(WIFEXITED(status) && WEXITSTATUS(status) == 0, ErrorId::format, "hdf5", "'", path,
          "': it is damaged; HDF5's own library fails on it");

  std::string_view rest = out;
  const auto take = [&](void* to, size_t size) {
    require(rest.size() >= size, ErrorId::format, "hdf5", "'", path, "' was read in part only");
    std::memcpy(to, rest.data(), size);
    rest.remove_prefix(size);
  };
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < wishes.size(); ++i) {
    int64_t rank = 0;
    take(&rank, sizeof rank);
    if (rank < 0) {
      const std::string_view prefix = "hdf5: ";
      rest.remove_prefix(rest.starts_with(prefix) ? prefix.size() : 0);
      throw Error(ErrorId::format, "hdf5", std::string(rest));
    }
    std::vector<int64_t> dims(static_cast<size_t>(rank));
    take(dims.data(), dims.size() * sizeof(int64_t));
    tensors.push_back(Tensor::empty(Shape(std::span<const int64_t>(dims)), DType::f64));
    take(tensors.back().raw(), size_t(tensors.back().nbytes()));
  }
  return tensors;
}

Hdf5Writer::Hdf5Writer(const std::string& path)
    : path_(path), temporary_(cat(path, ".", ::getpid(), ".tmp")) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // it would print
  file_ = H5Fcreate(temporary_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  require(file_ >= 0, ErrorId::io, "hdf5", "cannot write '", path, "'");
  make_groups_ = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(make_groups_, 1);
}
Hdf5Writer::~Hdf5Writer() {
  if (make_groups_ >= 0) H5Pclose(make_groups_);
  if (file_ < 0) return;
  H5Fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}
void Hdf5Writer::add(const std::string& name, const Tensor& values) {
  std::vector<hsize_t> extents;
  for (int axis = 0; axis < values.rank(); ++axis) extents.push_back(hsize_t(values.dim(axis)));
  const hid_t type = values.dtype() == DType::f32   ? H5T_NATIVE_FLOAT
                     : values.dtype() == DType::f64 ? H5T_NATIVE_DOUBLE
                     : values.dtype() == DType::i32 ? H5T_NATIVE_INT32
                                                    : H5T_NATIVE_INT64;
  require(H5Lexists(file_, name.substr(0, name.find('/')).c_str(), H5P_DEFAULT) <= 0 ||
              H5Oexists_by_name(file_, name.c_str(), H5P_DEFAULT) <= 0,
          ErrorId::argument, "hdf5", "'", path_, "': '", name, "' is given twice");
  const Handle space(H5Screate_simple(int(extents.size()), extents.data(), nullptr), H5Sclose);
  const Handle data(
      H5Dcreate2(file_, name.c_str(), type, space, make_groups_, H5P_DEFAULT, H5P_DEFAULT),
      H5Dclose);
  const char* bytes = static_cast<const char*>(values.raw());
  require(data.ok() && (values.numel() == 0 ||
                        H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0),
          ErrorId::io, "hdf5", "cannot write '", name, "' to '", path_, "'");
}
void Hdf5Writer::commit() {
  const bool flushed = H5Fflush(file_, H5F_SCOPE_GLOBAL) >= 0;
  const bool closed = H5Fclose(file_) >= 0;
  file_ = -1;
  std::error_code error;
  if (flushed && closed) {
    const int fd = ::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      ::fsync(fd);
      ::close(fd);
    }
    std::filesystem::rename(temporary_, path_, error);
    if (!error) return;
  }
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
  throw Error(ErrorId::io, "hdf5", cat("cannot write '", path_, "'"));
}

}  // namespace cairn

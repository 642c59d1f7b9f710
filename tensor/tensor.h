// Tensor: dense, row-major data of one element type on one device. Images are N x H x W x C.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace cairn {

/// A handle to shared storage; copying it copies no data. There are no strides and no views: a
/// reshape shares the storage, everything else writes a new tensor. Values change only through
/// functions whose name ends in an underscore, and through data() before a tensor is handed on.
class Tensor {
 public:
  /// An undefined tensor: "no gradient", "not given".
  Tensor() = default;

  /// Uninitialised memory. Throws ErrorId::memory or ErrorId::device.
  static Tensor empty(const Shape& shape, DType type = DType::f32, Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType type = DType::f32, Device device = Device::cpu);
  static Tensor full(const Shape& shape, double value, DType type = DType::f32,
                     Device device = Device::cpu);
  /// Copies `values`, row-major; their number must be the shape's.
  template <class T>
  static Tensor from(const Shape& shape, std::span<const T> values);
  template <class T>
  static Tensor from(const Shape& shape, const std::vector<T>& values) {
    return from(shape, std::span<const T>(values));
  }
  /// A part of memory that others hold too, for those who manage memory.
  static Tensor within(const std::shared_ptr<void>& memory, int64_t offset, const Shape& shape,
                       DType type, Device device);
  /// The same of a tensor's memory.
  static Tensor within(const Tensor& whole, int64_t offset, const Shape& shape, DType type);
  static Tensor scalar(double value, DType type = DType::f32) { return full({}, value, type); }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t numel() const { return numel_; }
  int64_t nbytes() const { return numel_ * item_size(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool on_gpu() const { return device_ == Device::cuda; }
  /// True when no other tensor shares these bytes.
  bool unique() const { return storage_.use_count() == 1; }
  bool same_storage(const Tensor& other) const { return storage_ == other.storage_; }

  /// The elements, row-major, for code that runs on the CPU. Throws ErrorId::dtype when T is not
  /// the element type, and ErrorId::device when they are on the GPU: copy them with
  /// to(Device::cpu).
  template <class T>
  const T* data() const;
  template <class T>
  T* data();
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), size_t(numel_)};
  }
  template <class T>
  std::span<T> span() {
    return {data<T>(), size_t(numel_)};
  }
  const void* raw() const;  ///< as data(), whatever the type
  void* raw();
  /// Where the elements are on whichever device, for its kernels. Throws ErrorId::dtype.
  template <class T>
  const T* device_data() const;
  template <class T>
  T* device_data();
  const void* device_raw() const { return storage_.get(); }
  void* device_raw() { return storage_.get(); }

  /// The same elements under another shape of as many elements; one extent may be -1.
  Tensor reshape(std::initializer_list<int64_t> dims) const;
  Tensor reshape(const Shape& shape) const;
  /// Each element converted (to u8: rounded and clamped); this tensor itself if nothing changes.
  Tensor to(DType type) const;
  /// The same elements on another device; this tensor itself if it is there.
  Tensor to(Device device) const;
  Tensor clone() const;
  /// Takes the elements of a tensor of the same shape and type, on whichever device.
  void assign_(const Tensor& from);
  /// The only element of a one-element tensor, whatever its type.
  double item() const;
  /// All elements as doubles, for tests and printing.
  std::vector<double> to_vector() const;

 private:
  std::shared_ptr<void> storage_;
  Shape shape_;
  int64_t numel_ = 0;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
};

/// Throws ErrorId::device, naming the operation, unless the two are on one device.
void require_same_device(std::string_view op, const Tensor& a, const Tensor& b);
/// The same for the element type, and the device.
void require_same_dtype(std::string_view op, const Tensor& a, const Tensor& b);
/// Throws ErrorId::shape, naming the operation, unless the two agree.
void require_same_shape(std::string_view op, const Tensor& a, const Tensor& b);

}  // namespace cairn

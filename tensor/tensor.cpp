#include "tensor/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "tensor/cuda/runtime.h"
#include "tensor/kernels/convert/cuda.h"

namespace cairn {

Tensor Tensor::empty(const Shape& shape, DType type, Device device) {
  Tensor t;
  t.shape_ = shape;
  t.numel_ = shape.numel();
  t.dtype_ = type;
  t.device_ = device;
  int64_t bytes = 0;
  require(!__builtin_mul_overflow(t.numel_, item_size(type), &bytes), ErrorId::memory, "tensor",
          "too many elements: ", shape);
  t.storage_ = std::shared_ptr<void>(allocate(device, bytes),
                                     [device](void* block) { release(device, block); });
  return t;
}

Tensor Tensor::within(const std::shared_ptr<void>& memory, int64_t offset, const Shape& shape,
                      DType type, Device device) {
  Tensor t;
  t.storage_ = {memory, static_cast<char*>(memory.get()) + offset};
  t.shape_ = shape;
  t.numel_ = shape.numel();
  t.dtype_ = type;
  t.device_ = device;
  return t;
}

Tensor Tensor::within(const Tensor& whole, int64_t offset, const Shape& shape, DType type) {
  return within(whole.storage_, offset, shape, type, whole.device_);
}

Tensor Tensor::zeros(const Shape& shape, DType type, Device device) {
  Tensor t = empty(shape, type, device);
  if (t.numel_ == 0) return t;
  if (device == Device::cuda)
    cuda::fill_bytes(t.device_raw(), 0, t.nbytes());
  else
    std::memset(t.raw(), 0, size_t(t.nbytes()));
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, DType type, Device device) {
  Tensor t = empty(shape, type, device);
  if (t.on_gpu()) {
    kernels::cuda::fill(value, t);
    return t;
  }
  dispatch_all(type, [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T>)
      std::ranges::fill(t.span<T>(), T(value));
    else
      std::ranges::fill(t.span<T>(), T(float(value)));
  });
  return t;
}

template <class T>
Tensor Tensor::from(const Shape& shape, std::span<const T> values) {
  Tensor t = empty(shape, dtype_of<T>());
  require(int64_t(values.size()) == t.numel_, ErrorId::shape, "tensor", values.size(),
          " values for the shape ", shape);
  std::ranges::copy(values, t.data<T>());
  return t;
}

template <class T>
const T* Tensor::device_data() const {
  require(defined(), ErrorId::argument, "tensor", "an undefined tensor has no data");
  require(dtype_ == dtype_of<T>(), ErrorId::dtype, "tensor", "the elements are ", dtype_, ", not ",
          dtype_of<T>());
  return static_cast<const T*>(storage_.get());
}
template <class T>
T* Tensor::device_data() {
  return const_cast<T*>(std::as_const(*this).device_data<T>());
}

const void* Tensor::raw() const {
  require(device_ == Device::cpu, ErrorId::device, "tensor",
          "the elements are on the GPU. Hint: to(Device::cpu) copies them");
  return storage_.get();
}
void* Tensor::raw() { return const_cast<void*>(std::as_const(*this).raw()); }

template <class T>
const T* Tensor::data() const {
  const T* p = device_data<T>();
  raw();  // is it on the CPU?
  return p;
}
template <class T>
T* Tensor::data() {
  return const_cast<T*>(std::as_const(*this).data<T>());
}

#define CAIRN_INSTANTIATE(T)                        \
  template const T* Tensor::data<T>() const;        \
  template T* Tensor::data<T>();                    \
  template const T* Tensor::device_data<T>() const; \
  template T* Tensor::device_data<T>();             \
  template Tensor Tensor::from(const Shape&, std::span<const T>);
CAIRN_INSTANTIATE(float)
CAIRN_INSTANTIATE(double)
CAIRN_INSTANTIATE(f16_t)
CAIRN_INSTANTIATE(bf16_t)
CAIRN_INSTANTIATE(int32_t)
CAIRN_INSTANTIATE(int64_t)
CAIRN_INSTANTIATE(uint8_t)
#undef CAIRN_INSTANTIATE

Tensor Tensor::reshape(std::initializer_list<int64_t> dims) const {
  std::vector<int64_t> d(dims);
  const auto open = std::ranges::find(d, -1);
  if (open != d.end()) {
    *open = 1;
    const int64_t known = Shape(d).numel();
    require(known > 0 && numel_ % known == 0, ErrorId::shape, "reshape", "no extent makes ", shape_,
            " fit");
    *open = numel_ / known;
  }
  return reshape(Shape(d));
}

Tensor Tensor::reshape(const Shape& shape) const {
  require(shape.numel() == numel_, ErrorId::shape, "reshape", shape_, " (", numel_,
          " elements) cannot become ", shape, " (", shape.numel(), ")");
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

namespace {

template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<From, f16_t> || std::is_same_v<From, bf16_t>)
    return convert<To>(float(value));
  else if constexpr (std::is_same_v<To, f16_t> || std::is_same_v<To, bf16_t>)
    return To(float(value));
  else if constexpr (std::is_same_v<To, uint8_t> && std::is_floating_point_v<From>)
    return value > From(0) ? uint8_t(std::lround(std::min(value, From(255)))) : uint8_t(0);
  else if constexpr (std::is_same_v<To, uint8_t>)
    return uint8_t(std::clamp<int64_t>(int64_t(value), 0, 255));
  else
    return To(value);
}

}  // namespace

Tensor Tensor::to(DType type) const {
  if (type == dtype_) return *this;
  Tensor t = empty(shape_, type, device_);
  if (on_gpu()) {
    kernels::cuda::convert(*this, t);
    return t;
  }
  dispatch_all(dtype_, [&]<class From>() {
    dispatch_all(type, [&]<class To>() {
      std::ranges::transform(span<From>(), t.data<To>(), convert<To, From>);
    });
  });
  return t;
}

void Tensor::assign_(const Tensor& from) {
  require(from.dtype_ == dtype_ && from.shape_ == shape_, ErrorId::shape, "assign_",
          "the elements are ", shape_, " ", dtype_, ", those given ", from.shape_, " ",
          from.dtype_);
  if (numel_ == 0) return;
  if (!on_gpu() && !from.on_gpu())
    std::memcpy(device_raw(), from.device_raw(), size_t(nbytes()));
  else if (!from.on_gpu())
    cuda::copy_to_device(device_raw(), from.device_raw(), nbytes());
  else if (!on_gpu())
    cuda::copy_to_host(device_raw(), from.device_raw(), nbytes());
  else
    cuda::copy_on_device(device_raw(), from.device_raw(), nbytes());
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  Tensor t = empty(shape_, dtype_, device);
  t.assign_(*this);
  return t;
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor t = empty(shape_, dtype_, device_);
  t.assign_(*this);
  return t;
}

double Tensor::item() const {
  require(numel_ == 1, ErrorId::shape, "item", "the tensor has ", numel_, " elements, not one");
  return to(Device::cpu).to(DType::f64).data<double>()[0];
}

std::vector<double> Tensor::to_vector() const {
  const Tensor t = to(Device::cpu).to(DType::f64);
  return {t.span<double>().begin(), t.span<double>().end()};
}

void require_same_device(std::string_view op, const Tensor& a, const Tensor& b) {
  require(a.device() == b.device(), ErrorId::device, op, "the operands are on ", a.device(),
          " and ", b.device());
}

void require_same_dtype(std::string_view op, const Tensor& a, const Tensor& b) {
  require_same_device(op, a, b);
  require(a.dtype() == b.dtype(), ErrorId::dtype, op, "the operands are ", a.dtype(), " and ",
          b.dtype());
}

void require_same_shape(std::string_view op, const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape(), ErrorId::shape, op, "the operands are ", a.shape(), " and ",
          b.shape());
}

}  // namespace cairn

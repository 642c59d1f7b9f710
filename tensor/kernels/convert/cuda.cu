#include "tensor/kernels/convert/cuda.h"

#include <cmath>

#include "tensor/cuda/launch.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

template <class To, class From>
__device__ To converted(From value) {
  if constexpr (std::is_same_v<From, bf16_t>) {
    return converted<To>(float(value));
  } else if constexpr (std::is_same_v<To, bf16_t>) {
    return To(float(value));
  } else if constexpr (std::is_same_v<To, uint8_t> && std::is_floating_point_v<From>) {
    const From most = 255;
    return value > From(0) ? uint8_t(std::lround(value < most ? value : most)) : uint8_t(0);
  } else if constexpr (std::is_same_v<To, uint8_t> && !std::is_same_v<From, uint8_t>) {
    return uint8_t(value < From(0) ? From(0) : value > From(255) ? From(255) : value);
  } else {
    return To(value);
  }
}

template <class To, class From>
__global__ void convert_kernel(int64_t n, const From* x, To* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) y[i] = converted<To>(x[i]);
}

template <class To>
__global__ void fill_kernel(int64_t n, To value, To* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) y[i] = value;
}

/// Calls f with every element type but f16.
template <class F>
void dispatch_convertible(DType type, F&& f) {
  require(type != DType::f16, ErrorId::dtype, "to",
          "f16 is not converted on the GPU. Hint: convert on the CPU first");
  dispatch_all(type, [&]<class T>() {
    if constexpr (!std::is_same_v<T, f16_t>) f.template operator()<T>();
  });
}

}  // namespace

void fill(double value, Tensor& y) {
  dispatch_convertible(y.dtype(), [&]<class To>() {
    const To v = Tensor::scalar(value, dtype_of<To>()).template data<To>()[0];
    launch("fill", fill_kernel<To>, blocks_for(y.numel()), block_threads, y.numel(), v,
           y.device_data<To>());
  });
}

void convert(const Tensor& x, Tensor& y) {
  dispatch_convertible(x.dtype(), [&]<class From>() {
    dispatch_convertible(y.dtype(), [&]<class To>() {
      launch("convert", convert_kernel<To, From>, blocks_for(x.numel()), block_threads, x.numel(),
             x.device_data<From>(), y.device_data<To>());
    });
  });
}

}  // namespace cairn::kernels::cuda

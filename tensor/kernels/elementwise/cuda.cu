// Elementwise kernels for the GPU: a thread reads and writes 16 bytes at a time where operands
// advance alike, single elements where one is broadcast.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/elementwise/ops.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;
using Op = ElementOp;

constexpr int max_axes = Shape::max_rank;

template <class C>
__device__ C apply_binary(Op op, C a, C b) {
  switch (op) {
    case Op::add:
      return a + b;
    case Op::sub:
      return a - b;
    case Op::mul:
      return a * b;
    default:
      return a / b;
  }
}

// Comparisons rather than fmin and fmax, which lose a NaN.
template <class C>
__device__ C apply_unary(Op op, C x, C dy, C p, C q) {
  switch (op) {
    case Op::relu:
      return x < C(0) ? C(0) : x;
    case Op::relu_backward:
      return x > C(0) ? dy : C(0);
    case Op::sqrt:
      return std::sqrt(x);
    case Op::square:
      return x * x;
    case Op::affine:
      return std::fma(x, p, q);
    case Op::clamp:
      return x < p ? p : x > q ? q : x;
    default:  // clamp_backward
      return x > p && x < q ? dy : C(0);
  }
}

/// y[i] = f(i-th elements), `Pack`s of them first, then the rest one by one.
template <class S, class F>
__device__ void each_pack(int64_t n, const S* a, const S* b, S* y, const F& f) {
  constexpr int size = Pack<S>::size;
  for (int64_t i = thread_number(); i < n / size; i += thread_count()) {
    const Pack<S> pa = load<size>(a + i * size), pb = load<size>(b + i * size);
    Pack<S> py;
#pragma unroll
    for (int k = 0; k < size; ++k) py.at[k] = S(f(compute_t<S>(pa.at[k]), compute_t<S>(pb.at[k])));
    store(y + i * size, py);
  }
  const int64_t rest = n / size * size + thread_number();
  if (rest < n) y[rest] = S(f(compute_t<S>(a[rest]), compute_t<S>(b[rest])));
}

template <class S>
__global__ void unary_kernel(Op op, int64_t n, const S* x, const S* dy, compute_t<S> p,
                             compute_t<S> q, S* y) {
  using C = compute_t<S>;
  each_pack(n, x, dy, y, [=](C v, C d) { return apply_unary(op, v, d, p, q); });
}

template <class S>
__global__ void binary_kernel(Op op, int64_t n, const S* a, const S* b, S* y) {
  using C = compute_t<S>;
  each_pack(n, a, b, y, [=](C u, C v) { return apply_binary(op, u, v); });
}

struct DeviceWalk {
  int axes;
  int64_t extent[max_axes], a_step[max_axes], b_step[max_axes];
};

template <class S>
__global__ void broadcast_kernel(Op op, int64_t n, DeviceWalk walk, const S* a, const S* b, S* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    int64_t rest = i, at_a = 0, at_b = 0;
    for (int axis = walk.axes - 1; axis >= 0; --axis) {
      const int64_t here = rest % walk.extent[axis];
      rest /= walk.extent[axis];
      at_a += here * walk.a_step[axis];
      at_b += here * walk.b_step[axis];
    }
    y[i] = S(apply_binary(op, compute_t<S>(a[at_a]), compute_t<S>(b[at_b])));
  }
}

template <class S>
__global__ void axpy_kernel(int64_t n, compute_t<S> scale, const S* x, S* y) {
  using C = compute_t<S>;
  each_pack(n, x, y, y, [=](C u, C v) { return std::fma(scale, u, v); });
}

template <class S>
__global__ void first_not_finite_kernel(int64_t n, const S* x, unsigned long long* first) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    const compute_t<S> v = compute_t<S>(x[i]);
    if (!(v - v == 0)) {  // the smallest index, whatever the order of the threads
      atomicMin(first, static_cast<unsigned long long>(i));
      return;
    }
  }
}

dim3 pack_blocks(const Tensor& x) { return blocks_for(x.nbytes(), 16 * block_threads); }

}  // namespace

void binary(Op op, const Walk& walk, const Tensor& a, const Tensor& b, Tensor& y) {
  const int64_t n = y.numel();
  dispatch_device(y.dtype(), "binary", [&]<class S>() {
    const S *pa = a.device_data<S>(), *pb = b.device_data<S>();
    S* py = y.device_data<S>();
    if (walk.extent.size() == 1 && walk.a_step[0] == 1 && walk.b_step[0] == 1) {
      launch("binary", binary_kernel<S>, pack_blocks(y), block_threads, op, n, pa, pb, py);
      return;
    }
    DeviceWalk w{int(walk.extent.size()), {}, {}, {}};
    std::copy(walk.extent.begin(), walk.extent.end(), w.extent);
    std::copy(walk.a_step.begin(), walk.a_step.end(), w.a_step);
    std::copy(walk.b_step.begin(), walk.b_step.end(), w.b_step);
    launch("broadcast", broadcast_kernel<S>, blocks_for(n), block_threads, op, n, w, pa, pb, py);
  });
}

void unary(Op op, const Tensor& x, const Tensor& dy, double p, double q, Tensor& y) {
  dispatch_device(y.dtype(), "unary", [&]<class S>() {
    using C = compute_t<S>;
    const S* px = x.device_data<S>();
    launch("unary", unary_kernel<S>, pack_blocks(y), block_threads, op, x.numel(), px,
           dy.defined() ? dy.device_data<S>() : px, C(p), C(q), y.device_data<S>());
  });
}

void axpy(double scale, const Tensor& x, Tensor& y) {
  dispatch_device(y.dtype(), "axpy_", [&]<class S>() {
    launch("axpy_", axpy_kernel<S>, pack_blocks(y), block_threads, y.numel(), compute_t<S>(scale),
           x.device_data<S>(), y.device_data<S>());
  });
}

int64_t first_not_finite(const Tensor& x) {
  Tensor first = Tensor::full({1}, -1, DType::i64, Device::cuda);  // unsigned: the largest
  dispatch_device(x.dtype(), "first_not_finite", [&]<class S>() {
    launch("first_not_finite", first_not_finite_kernel<S>, blocks_for(x.numel()), block_threads,
           x.numel(), x.device_data<S>(),
           reinterpret_cast<unsigned long long*>(first.device_data<int64_t>()));
  });
  return first.to(Device::cpu).data<int64_t>()[0];
}

}  // namespace cairn::kernels::cuda

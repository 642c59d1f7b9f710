// L2 normalisation for the CPU: one row at a time, vectors run along it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/l2_normalize/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>
#include <cmath>

#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/kernels/loops-inl.h"
#include "tensor/parallel.h"

#ifndef CAIRN_L2_NORMALIZE_TABLE
#define CAIRN_L2_NORMALIZE_TABLE
namespace cairn::kernels {
namespace {

template <class T>
struct Table {
  void (*forward)(int64_t rows, int64_t c, const T* x, T eps, T* y);
  void (*backward)(int64_t rows, int64_t c, const T* x, const T* dy, T eps, T* dx);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

template <class T>
T dot(int64_t c, const T* a, const T* b) {
  return sum_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
  });
}

template <class T>
void forward(int64_t rows, int64_t c, const T* x, T eps, T* y) {
  for (; rows > 0; --rows, x += c, y += c) {
    const T r = std::sqrt(dot(c, x, x));
    const T scale = r == 0 ? T(0) : 1 / (r + eps);
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, scale)), d, y + i);
    });
  }
}

template <class T>
void backward(int64_t rows, int64_t c, const T* x, const T* dy, T eps, T* dx) {
  for (; rows > 0; --rows, x += c, dy += c, dx += c) {
    const T r = std::sqrt(dot(c, x, x)), s = r + eps;
    const T scale = 1 / s, along = r == 0 ? T(0) : dot(c, x, dy) / (r * s * s);
    for_lanes<T>(c, [&](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::Mul(hn::LoadU(d, dy + i), hn::Set(d, scale));
      hn::StoreU(hn::NegMulAdd(hn::LoadU(d, x + i), hn::Set(d, along), g), d, dx + i);
    });
  }
}

template <class T>
Table<T> make_table() {
  return {forward<T>, backward<T>};
}
Table<float> table_f32() { return make_table<float>(); }
Table<double> table_f64() { return make_table<double>(); }

}  // namespace
}  // namespace cairn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::kernels {
namespace {

CAIRN_EXPORT_TABLE(Table)

void check(const char* op, const Tensor& x) {
  require(x.rank() >= 1, ErrorId::shape, op, "the input is a scalar; it needs a row");
}

/// Calls body(first element, rows) over chunks of the rows of x.
template <class F>
void each_chunk(const Tensor& x, const F& body) {
  const int64_t c = x.dim(-1);
  if (x.numel() == 0) return;
  parallel_for(x.numel() / c, std::max<int64_t>(1, 32768 / c),
               [&](int64_t begin, int64_t end) { body(begin * c, end - begin); });
}

}  // namespace

namespace {
void normalize(const Tensor& x, double eps, Tensor& y) {  // which may be x
  dispatch_float(x.dtype(), "l2_normalize", [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.data<T>();
    const auto kernel = table<T>().forward;
    each_chunk(
        x, [&](int64_t at, int64_t rows) { kernel(rows, x.dim(-1), px + at, T(eps), py + at); });
  });
}
}  // namespace

Tensor l2_normalize(const Tensor& x, double eps) {
  check("l2_normalize", x);
  if (x.on_gpu()) return cuda::l2_normalize(x, eps);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  normalize(x, eps, y);
  return y;
}

void l2_normalize_(Tensor& x, double eps) {
  check("l2_normalize", x);
  normalize(x, eps, x);
}

Tensor l2_normalize_backward(const Tensor& x, const Tensor& dy, double eps) {
  const char* op = "l2_normalize_backward";
  check(op, x);
  require_same_device(op, x, dy);
  require_same_shape(op, x, dy);
  require(dy.dtype() == compute_dtype(x.dtype()), ErrorId::dtype, op, "the operands are ",
          x.dtype(), " and ", dy.dtype());
  if (x.on_gpu()) return cuda::l2_normalize_backward(x, dy, eps);
  Tensor dx = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(x.dtype(), "l2_normalize_backward", [&]<class T>() {
    const T *px = x.data<T>(), *pd = dy.data<T>();
    T* pdx = dx.data<T>();
    const auto kernel = table<T>().backward;
    each_chunk(x, [&](int64_t at, int64_t rows) {
      kernel(rows, x.dim(-1), px + at, pd + at, T(eps), pdx + at);
    });
  });
  return dx;
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

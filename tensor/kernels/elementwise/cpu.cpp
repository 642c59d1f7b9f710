// Elementwise kernels for the CPU. Broadcasting is reduced to rows: axes over which both operands
// advance alike are merged, so equal shapes become one row, a scalar a repeated operand, and a
// vector along the last axis one row per outer index.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/elementwise/cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <algorithm>
#include <vector>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/elementwise/ops.h"
#include "tensor/kernels/loops-inl.h"
#include "tensor/parallel.h"

#ifndef CAIRN_ELEMENTWISE_TABLE
#define CAIRN_ELEMENTWISE_TABLE
namespace cairn::kernels {
namespace {

using Op = ElementOp;

template <class T>
struct Table {
  /// y = a op b for n elements; an operand with step 0 repeats its first element.
  void (*binary)(Op op, int64_t n, const T* a, int64_t a_step, const T* b, int64_t b_step, T* y);
  /// y = op(x); p and q are the operation's parameters; dy is read by the backward ones.
  void (*unary)(Op op, int64_t n, const T* x, const T* dy, T p, T q, T* y);
  void (*axpy)(int64_t n, T scale, const T* x, T* y);
  bool (*finite)(int64_t n, const T* x);
};

}  // namespace
}  // namespace cairn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::kernels::HWY_NAMESPACE {
namespace {

template <class T, class F>
HWY_INLINE void pairs(int64_t n, const T* a, int64_t a_step, const T* b, int64_t b_step, T* y,
                      const F& f) {
  if (n > 1 && a_step == 0) {
    for_lanes<T>(n, [&](auto d, int64_t i)
                        HWY_ATTR { hn::StoreU(f(hn::Set(d, *a), hn::LoadU(d, b + i)), d, y + i); });
  } else if (n > 1 && b_step == 0) {
    for_lanes<T>(n, [&](auto d, int64_t i)
                        HWY_ATTR { hn::StoreU(f(hn::LoadU(d, a + i), hn::Set(d, *b)), d, y + i); });
  } else {
    for_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
    });
  }
}

template <class T>
void binary(Op op, int64_t n, const T* a, int64_t a_step, const T* b, int64_t b_step, T* y) {
  const auto run = [&](const auto& f) HWY_ATTR { pairs<T>(n, a, a_step, b, b_step, y, f); };
  switch (op) {
    case Op::add:
      return run([](auto u, auto v) HWY_ATTR { return hn::Add(u, v); });
    case Op::sub:
      return run([](auto u, auto v) HWY_ATTR { return hn::Sub(u, v); });
    case Op::mul:
      return run([](auto u, auto v) HWY_ATTR { return hn::Mul(u, v); });
    default:
      return run([](auto u, auto v) HWY_ATTR { return hn::Div(u, v); });
  }
}

// Comparisons and selections rather than Min and Max, whose result for NaN differs by machine.
template <class T>
void unary(Op op, int64_t n, const T* x, const T* dy, T p, T q, T* y) {
  const auto run = [&](const auto& f) HWY_ATTR {
    for_lanes<T>(
        n, [&](auto d, int64_t i) HWY_ATTR { hn::StoreU(f(d, hn::LoadU(d, x + i), i), d, y + i); });
  };
  switch (op) {
    case Op::relu:
      return run([](auto d, auto v, int64_t)
                     HWY_ATTR { return hn::IfThenZeroElse(hn::Lt(v, hn::Zero(d)), v); });
    case Op::relu_backward:
      return run([dy](auto d, auto v, int64_t i) HWY_ATTR {
        return hn::IfThenElseZero(hn::Gt(v, hn::Zero(d)), hn::LoadU(d, dy + i));
      });
    case Op::sqrt:
      return run([](auto, auto v, int64_t) HWY_ATTR { return hn::Sqrt(v); });
    case Op::square:
      return run([](auto, auto v, int64_t) HWY_ATTR { return hn::Mul(v, v); });
    case Op::affine:
      return run([p, q](auto d, auto v, int64_t)
                     HWY_ATTR { return hn::MulAdd(v, hn::Set(d, p), hn::Set(d, q)); });
    case Op::clamp:
      return run([p, q](auto d, auto v, int64_t) HWY_ATTR {
        const auto lo = hn::Set(d, p), hi = hn::Set(d, q);
        return hn::IfThenElse(hn::Lt(v, lo), lo, hn::IfThenElse(hn::Gt(v, hi), hi, v));
      });
    default:  // clamp_backward
      return run([dy, p, q](auto d, auto v, int64_t i) HWY_ATTR {
        const auto inside = hn::And(hn::Gt(v, hn::Set(d, p)), hn::Lt(v, hn::Set(d, q)));
        return hn::IfThenElseZero(inside, hn::LoadU(d, dy + i));
      });
  }
}

template <class T>
void axpy(int64_t n, T scale, const T* x, T* y) {
  for_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::Set(d, scale), hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  });
}

template <class T>
bool finite(int64_t n, const T* x) {
  // x - x is 0 for a finite x and NaN otherwise, and NaN stays in a sum.
  return sum_lanes<T>(n, [&](auto d, int64_t i) HWY_ATTR {
           const auto v = hn::LoadU(d, x + i);
           return hn::Sub(v, v);
         }) == 0;
}

template <class T>
Table<T> make_table() {
  return {binary<T>, unary<T>, axpy<T>, finite<T>};
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

constexpr int64_t grain = 32768;  // elements: enough work to be worth a thread

Walk merged_axes(const Shape& shape, const Shape& a, const Shape& b) {
  Walk walk;
  int64_t a_size = 1, b_size = 1;
  for (int axis = 1; axis <= shape.rank(); ++axis) {  // from the last axis outwards
    const int64_t n = shape[-axis];
    const int64_t na = axis <= a.rank() ? a[-axis] : 1, nb = axis <= b.rank() ? b[-axis] : 1;
    if (n == 1) continue;
    const int64_t sa = na == 1 ? 0 : a_size, sb = nb == 1 ? 0 : b_size;
    a_size *= na;
    b_size *= nb;
    if (!walk.extent.empty() && sa == walk.a_step.back() * walk.extent.back() &&
        sb == walk.b_step.back() * walk.extent.back()) {
      walk.extent.back() *= n;
    } else {
      walk.extent.push_back(n);
      walk.a_step.push_back(sa);
      walk.b_step.push_back(sb);
    }
  }
  if (walk.extent.empty()) walk = {{1}, {0}, {0}};
  std::ranges::reverse(walk.extent);
  std::ranges::reverse(walk.a_step);
  std::ranges::reverse(walk.b_step);
  return walk;
}

Tensor binary(const char* name, Op op, const Tensor& a, const Tensor& b) {
  require_same_dtype(name, a, b);
  const Shape shape = broadcast_shape(name, a.shape(), b.shape());
  Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  const Walk walk = merged_axes(shape, a.shape(), b.shape());
  if (y.on_gpu()) {
    cuda::binary(op, walk, a, b, y);
    return y;
  }
  dispatch_float(a.dtype(), name, [&]<class T>() {
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.data<T>();
    const auto kernel = table<T>().binary;
    const int64_t n = walk.extent.back(), sa = walk.a_step.back(), sb = walk.b_step.back();
    if (walk.extent.size() == 1) {
      parallel_for(n, grain, [&](int64_t begin, int64_t end) {
        kernel(op, end - begin, pa + sa * begin, sa, pb + sb * begin, sb, py + begin);
      });
      return;
    }
    if (y.numel() == 0) return;
    parallel_for(y.numel() / n, std::max<int64_t>(1, grain / n), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t at_a = 0, at_b = 0, rest = row;
        for (size_t axis = walk.extent.size() - 1; axis-- > 0;) {
          const int64_t here = axis == 0 ? rest : rest % walk.extent[axis];
          if (axis) rest /= walk.extent[axis];
          at_a += here * walk.a_step[axis];
          at_b += here * walk.b_step[axis];
        }
        kernel(op, n, pa + at_a, sa, pb + at_b, sb, py + row * n);
      }
    });
  });
  return y;
}

Tensor unary(const char* name, Op op, const Tensor& x, const Tensor* dy = nullptr, double p = 0,
             double q = 0) {
  if (dy) {
    require_same_dtype(name, x, *dy);
    require_same_shape(name, x, *dy);
  }
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (y.on_gpu()) {
    cuda::unary(op, x, dy ? *dy : Tensor(), p, q, y);
    return y;
  }
  dispatch_float(x.dtype(), name, [&]<class T>() {
    const T *px = x.data<T>(), *pd = dy ? dy->data<T>() : px;
    T* py = y.data<T>();
    const auto kernel = table<T>().unary;
    parallel_for(x.numel(), grain, [&](int64_t begin, int64_t end) {
      kernel(op, end - begin, px + begin, pd + begin, T(p), T(q), py + begin);
    });
  });
  return y;
}

}  // namespace

Shape broadcast_shape(std::string_view op, const Shape& a, const Shape& b) {
  Shape shape = a.rank() >= b.rank() ? a : b;
  for (int axis = 1; axis <= std::min(a.rank(), b.rank()); ++axis) {
    require(a[-axis] == b[-axis] || a[-axis] == 1 || b[-axis] == 1, ErrorId::shape, op,
            "the shapes ", a, " and ", b, " do not broadcast together");
    shape[-axis] = a[-axis] == 1 ? b[-axis] : a[-axis];
  }
  return shape;
}

Tensor add(const Tensor& a, const Tensor& b) { return binary("add", Op::add, a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return binary("sub", Op::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return binary("mul", Op::mul, a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return binary("div", Op::div, a, b); }

Tensor relu(const Tensor& x) { return unary("relu", Op::relu, x); }
Tensor relu_backward(const Tensor& y, const Tensor& dy) {
  return unary("relu_backward", Op::relu_backward, y, &dy);
}
Tensor sqrt(const Tensor& x) { return unary("sqrt", Op::sqrt, x); }
Tensor square(const Tensor& x) { return unary("square", Op::square, x); }
Tensor affine(const Tensor& x, double scale, double shift) {
  return unary("affine", Op::affine, x, nullptr, scale, shift);
}
Tensor clamp(const Tensor& x, double lo, double hi) {
  require(lo <= hi, ErrorId::argument, "clamp", "the range is from ", lo, " to ", hi);
  return unary("clamp", Op::clamp, x, nullptr, lo, hi);
}
Tensor clamp_backward(const Tensor& x, const Tensor& dy, double lo, double hi) {
  require(lo <= hi, ErrorId::argument, "clamp_backward", "the range is from ", lo, " to ", hi);
  return unary("clamp_backward", Op::clamp_backward, x, &dy, lo, hi);
}

void axpy_(Tensor& y, double scale, const Tensor& x) {
  require_same_dtype("axpy_", y, x);
  require_same_shape("axpy_", y, x);
  if (y.on_gpu()) return cuda::axpy(scale, x, y);
  dispatch_float(y.dtype(), "axpy_", [&]<class T>() {
    T* py = y.data<T>();
    const T* px = x.data<T>();
    const auto kernel = table<T>().axpy;
    parallel_for(y.numel(), grain, [&](int64_t begin, int64_t end) {
      kernel(end - begin, T(scale), px + begin, py + begin);
    });
  });
}

int64_t first_not_finite(const Tensor& x) {
  if (x.on_gpu()) return cuda::first_not_finite(x);
  return dispatch_float(x.dtype(), "first_not_finite", [&]<class T>() -> int64_t {
    const T* px = x.data<T>();
    const auto finite = table<T>().finite;
    std::vector<int64_t> first(size_t(num_chunks(x.numel(), grain)), -1);
    parallel_for(x.numel(), grain, [&](int64_t begin, int64_t end) {
      if (finite(end - begin, px + begin)) return;
      const T* bad = std::find_if(px + begin, px + end, [](T v) { return !(v - v == 0); });
      first[size_t(begin / grain)] = bad - px;
    });
    const auto found = std::ranges::find_if(first, [](int64_t i) { return i >= 0; });
    return found == first.end() ? -1 : *found;
  });
}

}  // namespace cairn::kernels
#endif  // HWY_ONCE

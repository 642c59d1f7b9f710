// The plainest loops: what the elementwise kernels are compared with.
#include <cmath>

#include "tensor/kernels/elementwise/elementwise.h"

namespace cairn::kernels::reference {
namespace {

/// f of the element of a and that of b at each index of the broadcast shape.
template <class F>
Tensor binary(const char* op, const Tensor& a, const Tensor& b, F f) {
  const Shape shape = broadcast_shape(op, a.shape(), b.shape());
  const auto offset = [&](const Tensor& t, int64_t i) {
    int64_t at = 0, step = 1;
    for (int axis = 1; axis <= shape.rank(); ++axis) {
      const int64_t here = i % shape[-axis];
      i /= shape[-axis];
      if (axis > t.rank()) continue;
      if (t.dim(-axis) != 1) at += here * step;
      step *= t.dim(-axis);
    }
    return at;
  };
  Tensor y = Tensor::empty(shape, a.dtype());
  dispatch_float(a.dtype(), op, [&]<class T>() {
    for (int64_t i = 0; i < y.numel(); ++i)
      y.data<T>()[i] = f(a.data<T>()[offset(a, i)], b.data<T>()[offset(b, i)]);
  });
  return y;
}

template <class F>
Tensor each(const char* op, const Tensor& x, F f) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float(x.dtype(), op, [&]<class T>() {
    for (int64_t i = 0; i < x.numel(); ++i) y.data<T>()[i] = T(f(x.data<T>()[i]));
  });
  return y;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return binary("add", a, b, [](auto u, auto v) { return u + v; });
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return binary("sub", a, b, [](auto u, auto v) { return u - v; });
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return binary("mul", a, b, [](auto u, auto v) { return u * v; });
}
Tensor div(const Tensor& a, const Tensor& b) {
  return binary("div", a, b, [](auto u, auto v) { return u / v; });
}
Tensor relu(const Tensor& x) {
  return each("relu", x, [](auto v) { return v < 0 ? 0 : v; });
}
Tensor relu_backward(const Tensor& y, const Tensor& dy) {
  return binary("relu_backward", y, dy, [](auto v, auto d) { return v > 0 ? d : 0; });
}
Tensor sqrt(const Tensor& x) {
  return each("sqrt", x, [](auto v) { return std::sqrt(v); });
}
Tensor square(const Tensor& x) {
  return each("square", x, [](auto v) { return v * v; });
}
Tensor affine(const Tensor& x, double scale, double shift) {
  return each("affine", x, [=](auto v) { return scale * double(v) + shift; });
}
Tensor clamp(const Tensor& x, double lo, double hi) {
  return each("clamp", x, [=](auto v) { return v < lo ? lo : v > hi ? hi : double(v); });
}
Tensor clamp_backward(const Tensor& x, const Tensor& dy, double lo, double hi) {
  return binary("clamp_backward", x, dy,
                [=](auto v, auto d) { return lo < v && v < hi ? d : decltype(d)(0); });
}

}  // namespace cairn::kernels::reference

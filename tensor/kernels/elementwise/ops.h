// What the elementwise kernels of all devices share.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace cairn::kernels {

enum class ElementOp {
  add,
  sub,
  mul,
  div,
  relu,
  relu_backward,
  sqrt,
  square,
  affine,
  clamp,
  clamp_backward
};

/// Two operands of one shape, walked together: axes over which both advance alike are merged,
/// outermost first. A step of 0 repeats the operand.
struct Walk {
  std::vector<int64_t> extent, a_step, b_step;
};

namespace cuda {
/// y = a op b, walked together.
void binary(ElementOp op, const Walk& walk, const Tensor& a, const Tensor& b, Tensor& y);
/// y = op(x); p and q are the operation's parameters; dy (maybe undefined) is read by the backward
/// ones.
void unary(ElementOp op, const Tensor& x, const Tensor& dy, double p, double q, Tensor& y);
void axpy(double scale, const Tensor& x, Tensor& y);
int64_t first_not_finite(const Tensor& x);
}  // namespace cuda

}  // namespace cairn::kernels

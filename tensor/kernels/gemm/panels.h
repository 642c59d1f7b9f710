// The right-hand side of products, packed once for the micro-kernel, and how work is cut into
// tasks.
#pragma once

#include <algorithm>

#include "tensor/kernels/gemm/implicit.h"
#include "tensor/tensor.h"

namespace cairn::kernels {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/// Memory of one task, without initial values.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count) : tensor_(Tensor::empty({count}, dtype_of<T>())) {}
  T* data() { return tensor_.template data<T>(); }
  const T* data() const { return tensor_.template data<T>(); }
  int64_t count() const { return tensor_.numel(); }

 private:
  Tensor tensor_;
};

/// The output channels cut into panels of two vectors; a rest that fits one vector gets one.
struct Panels {
  int64_t outputs, lanes;

  int64_t count() const { return ceil_div(outputs, 2 * lanes); }
  int64_t columns(int64_t p) const { return std::min(2 * lanes, outputs - 2 * lanes * p); }
  int64_t width(int64_t p) const { return columns(p) > lanes ? 2 * lanes : lanes; }
  int64_t padded() const { return round_up(outputs, lanes); }
};

/// w as panels of (tap, channel) x width, zero beyond the last output. Empty without weights.
template <class T>
Scratch<T> pack_weights(const T* w, const TapMatrices& m, int64_t channels, const Panels& panels);

// Enough tasks to balance a dozen threads, unless each would be too small to be worth waking one.
inline constexpr int64_t enough_tasks = 32, small_task = 1 << 18;

/// Cuts `panels` into as many groups as make enough tasks out of `tasks`.
int64_t panel_groups(int64_t panels, int64_t tasks, int64_t work);

}  // namespace cairn::kernels

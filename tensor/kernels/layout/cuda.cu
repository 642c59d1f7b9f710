// Moving elements on the GPU, in the widest units that the addresses allow.
#include "tensor/cuda/launch.h"
#include "tensor/kernels/layout/blocks.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

struct alignas(16) Sixteen {
  uint64_t half[2];
};

template <class U>
__global__ void copy_block_kernel(BlockCopy c, const U* from, U* to) {  // all counts in units
  const int64_t n = c.outer * c.rows * c.width;
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    const int64_t at = i % c.width, row = i / c.width % c.rows, outer = i / c.width / c.rows;
    to[outer * c.to_outer + row * c.to_row + at] =
        from[outer * c.from_outer + row * c.from_row + at];
  }
}

struct Steps {
  int rank;
  int64_t extent[Shape::max_rank], step[Shape::max_rank];
};

template <class U>
__global__ void gather_strided_kernel(int64_t n, Steps s, const U* x, U* y) {
  for (int64_t i = thread_number(); i < n; i += thread_count()) {
    int64_t rest = i, at = 0;
    for (int axis = s.rank - 1; axis >= 0; --axis) {
      at += rest % s.extent[axis] * s.step[axis];
      rest /= s.extent[axis];
    }
    y[i] = x[at];
  }
}

/// Calls f with an unsigned type of the largest of 16, 8, 4, 2, 1 bytes that divides `bytes`.
template <class F>
void with_unit(int64_t bytes, F&& f) {
  if (bytes % 16 == 0) return f.template operator()<Sixteen>();
  if (bytes % 8 == 0) return f.template operator()<uint64_t>();
  if (bytes % 4 == 0) return f.template operator()<uint32_t>();
  if (bytes % 2 == 0) return f.template operator()<uint16_t>();
  f.template operator()<uint8_t>();
}

}  // namespace

void copy_block(const BlockCopy& c, const Tensor& from, int64_t from_offset, Tensor& to,
                int64_t to_offset) {
  const int64_t all = c.width | c.from_outer | c.from_row | c.to_outer | c.to_row | from_offset |
                      to_offset;  // as divisible by a power of two as the least divisible
  with_unit(all, [&]<class U>() {
    constexpr int64_t u = sizeof(U);
    const BlockCopy units{c.outer,        c.rows,         c.width / u, c.from_outer / u,
                          c.from_row / u, c.to_outer / u, c.to_row / u};
    launch("copy", copy_block_kernel<U>, blocks_for(c.outer * c.rows * units.width), block_threads,
           units, static_cast<const U*>(from.device_raw()) + from_offset / u,
           static_cast<U*>(to.device_raw()) + to_offset / u);
  });
}

void gather_strided(const Tensor& x, Tensor& y, std::span<const int64_t> step) {
  Steps s{y.rank(), {}, {}};
  for (int axis = 0; axis < y.rank(); ++axis) {
    s.extent[axis] = y.dim(axis);
    s.step[axis] = step[size_t(axis)];
  }
  with_unit(item_size(x.dtype()), [&]<class U>() {
    launch("permute", gather_strided_kernel<U>, blocks_for(y.numel()), block_threads, y.numel(), s,
           static_cast<const U*>(x.device_raw()), static_cast<U*>(y.device_raw()));
  });
}

}  // namespace cairn::kernels::cuda

// Adding items into rows on the GPU, for gradients of whatever reads rows. Without float atomics:
// for each row the item that comes first adds all of that row, in ascending order.
#pragma once

#include <limits>

#include "tensor/cuda/launch.h"

namespace cairn::kernels::cuda {

template <class Row>  // row(i): where item i goes
__global__ void group_items_kernel(int64_t items, int64_t rows, Row row, int32_t* first,
                                   int32_t* count) {
  const int64_t i = cairn::cuda::thread_number();
  if (i >= items) return;
  const int64_t r = row(i);
  if (r < 0 || r >= rows) return;
  atomicMin(first + r, int32_t(i));
  atomicAdd(count + r, 1);
}

/// A warp for each item; only those that come first in their row do anything.
template <class S, class Row, class Value>
__global__ void scatter_kernel(int64_t items, int64_t rows, int64_t c, Row row, Value value,
                               const int32_t* first, const int32_t* count, S* y) {
  constexpr int warp = 32;
  const int64_t item = cairn::cuda::thread_number() / warp;
  const int lane = threadIdx.x % warp;
  if (item >= items) return;
  const int64_t r = row(item);
  if (r < 0 || r >= rows || first[r] != int32_t(item)) return;
  for (int64_t block = 0; block < c; block += warp) {
    const int64_t j = block + lane;
    auto sum = j < c ? value(item, j) : 0;
    int left = count[r] - 1;
    for (int64_t at = item + 1; left > 0; at += warp) {  // 32 items are looked at at once
      unsigned found = __ballot_sync(0xffffffffu, at + lane < items && row(at + lane) == r);
      for (; found; found &= found - 1, --left)
        if (j < c) sum += value(at + __ffs(int(found)) - 1, j);
    }
    if (j < c) y[r * c + j] = S(sum);
  }
}

/// rows x c: y[row(i)] += value(i, channel), beginning with zeros.
template <class S, class Row, class Value>
Tensor scatter(const char* name, int64_t items, int64_t rows, int64_t c, Row row, Value value) {
  using cairn::cuda::block_threads;
  require(items <= std::numeric_limits<int32_t>::max(), ErrorId::argument, name, items,
          " items are too many");
  Tensor y = Tensor::zeros({rows, c}, dtype_of<S>(), Device::cuda);
  Tensor first =
      Tensor::full({rows}, double(std::numeric_limits<int32_t>::max()), DType::i32, Device::cuda);
  Tensor count = Tensor::zeros({rows}, DType::i32, Device::cuda);
  cairn::cuda::launch(name, group_items_kernel<Row>,
                      cairn::cuda::blocks_for(items, block_threads, 1 << 30), block_threads, items,
                      rows, row, first.device_data<int32_t>(), count.device_data<int32_t>());
  cairn::cuda::launch(name, scatter_kernel<S, Row, Value>,
                      cairn::cuda::blocks_for(items * 32, block_threads, 1 << 30), block_threads,
                      items, rows, c, row, value, first.device_data<int32_t>(),
                      count.device_data<int32_t>(), y.device_data<S>());
  return y;
}

}  // namespace cairn::kernels::cuda

// The one product of the own GPU kernels: C = A B in tiles held by a block, A and B given as
// functions of their indices, so that a convolution is a product whose matrices are never formed.
// Readable, exact in its type, and the check on the libraries, which are the fast path.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/reduce/passes.h"

namespace cairn::kernels::cuda {

constexpr int tile_side = 64, tile_depth = 16, thread_side = 4;

/// A block makes 64 x 64 elements of C, a thread 4 x 4 of them. blockIdx.z is a chunk of k.
///   a(m, k), b(k, n)       the factors, in the type C that is computed in
///   store(m, n, chunk, c)  takes a sum over the chunk
template <class C, class A, class B, class Store>
__global__ void tile_product_kernel(int64_t m, int64_t n, int64_t k, int64_t k_chunk, A a, B b,
                                    Store store) {
  __shared__ C tile_a[tile_depth][tile_side + 1];  // + 1: columns fall into different banks
  __shared__ C tile_b[tile_depth][tile_side + 1];
  const int64_t m0 = int64_t(blockIdx.x) * tile_side, n0 = int64_t(blockIdx.y) * tile_side;
  const int64_t begin = blockIdx.z * k_chunk, end = begin + k_chunk < k ? begin + k_chunk : k;
  const int tm = threadIdx.x / 16, tn = threadIdx.x % 16;
  C sum[thread_side][thread_side] = {};
  for (int64_t k0 = begin; k0 < end; k0 += tile_depth) {
    for (int i = threadIdx.x; i < tile_side * tile_depth; i += blockDim.x) {
      const int along = i % tile_depth, across = i / tile_depth;  // neighbours in k together
      const bool inside = k0 + along < end;
      tile_a[along][across] = inside && m0 + across < m ? a(m0 + across, k0 + along) : C(0);
      tile_b[along][across] = inside && n0 + across < n ? b(k0 + along, n0 + across) : C(0);
    }
    __syncthreads();
    for (int along = 0; along < tile_depth; ++along)
      for (int i = 0; i < thread_side; ++i)
        for (int j = 0; j < thread_side; ++j)
          sum[i][j] = std::fma(tile_a[along][tm + 16 * i], tile_b[along][tn + 16 * j], sum[i][j]);
    __syncthreads();
  }
  for (int i = 0; i < thread_side; ++i)
    for (int j = 0; j < thread_side; ++j) {
      const int64_t row = m0 + tm + 16 * i, column = n0 + tn + 16 * j;
      if (row < m && column < n) store(row, column, int64_t(blockIdx.z), sum[i][j]);
    }
}

/// C = A B, each element handed to store(m, n, 0, c).
template <class C, class A, class B, class Store>
void tile_product(const char* name, int64_t m, int64_t n, int64_t k, A a, B b, Store store) {
  const auto tiles = [](int64_t extent) { return unsigned((extent + tile_side - 1) / tile_side); };
  require(tiles(n) <= 65535, ErrorId::argument, name, n, " columns are too many for the GPU");
  cairn::cuda::launch(name, tile_product_kernel<C, A, B, Store>, dim3(tiles(m), tiles(n)),
                      cairn::cuda::block_threads, m, n, k, k, a, b, store);
}

template <class C>
struct StorePart {
  C* parts;
  int64_t m, n;
  __device__ void operator()(int64_t row, int64_t column, int64_t chunk, C c) const {
    parts[(chunk * m + row) * n + column] = c;
  }
};

/// The same for a long sum and a small result: chunks of k, whose size depends on sizes alone, are
/// summed apart and then added in double and in order. The result is m x n in C's type.
template <class C, class A, class B>
Tensor tile_product_of_chunks(const char* name, int64_t m, int64_t n, int64_t k, A a, B b) {
  const auto tiles = [](int64_t extent) { return (extent + tile_side - 1) / tile_side; };
  const int64_t most =
      std::clamp<int64_t>(2048 / std::max<int64_t>(1, tiles(m) * tiles(n)), 1, 512);
  const int64_t chunk = std::max<int64_t>(tile_depth * 16, (k + most - 1) / most);
  const int64_t chunks = std::max<int64_t>(1, (k + chunk - 1) / chunk);
  Tensor parts = Tensor::empty({chunks, m, n}, dtype_of<C>(), Device::cuda);
  cairn::cuda::launch(name, tile_product_kernel<C, A, B, StorePart<C>>,
                      dim3(unsigned(tiles(m)), unsigned(tiles(n)), unsigned(chunks)),
                      cairn::cuda::block_threads, m, n, k, chunk, a, b,
                      StorePart<C>{parts.device_data<C>(), m, n});
  return sum_middle(parts, 1, chunks, m * n).to(dtype_of<C>()).reshape({m, n});
}

}  // namespace cairn::kernels::cuda

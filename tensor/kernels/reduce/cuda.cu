// Sums on the GPU: a block adds a chunk of rows of some columns, in double and in a fixed order;
// further launches add the chunks.
#include <cmath>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/reduce/passes.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

/// y[o, chunk, i] = the sum of x[o, m, i] over the chunk's m. A block is `lanes` columns wide.
template <class S>
__global__ void sum_middle_kernel(int64_t middle, int64_t inner, int64_t rows, int64_t chunks,
                                  int lanes, const S* x, double* y) {
  __shared__ double parts[block_threads];
  const int64_t tiles = (inner + lanes - 1) / lanes;
  const int64_t tile = blockIdx.x % tiles, chunk = blockIdx.x / tiles % chunks;
  const int64_t outer = blockIdx.x / tiles / chunks;
  const int lane = threadIdx.x % lanes, slot = threadIdx.x / lanes, slots = blockDim.x / lanes;
  const int64_t i = tile * lanes + lane;
  const int64_t end = (chunk + 1) * rows < middle ? (chunk + 1) * rows : middle;
  double sum = 0;
  if (i < inner)
    for (int64_t m = chunk * rows + slot; m < end; m += slots)
      sum += double(compute_t<S>(x[(outer * middle + m) * inner + i]));
  parts[threadIdx.x] = sum;
  for (int step = slots / 2; step > 0; step /= 2) {
    __syncthreads();
    if (slot < step) parts[threadIdx.x] += parts[threadIdx.x + step * lanes];
  }
  if (slot == 0 && i < inner) y[(outer * chunks + chunk) * inner + i] = parts[lane];
}

constexpr int most_tensors = 512;  // their addresses travel as the kernel's argument
constexpr int64_t norm_chunk = 16384;

template <class S>
struct TensorTable {
  const S* data[most_tensors];
  int64_t size[most_tensors];
  int32_t first_block[most_tensors + 1];
  int count;
};

/// parts[block] = the sum of squares of one chunk of one tensor.
template <class S>
__global__ void squares_kernel(TensorTable<S> table, double* parts) {
  __shared__ double shared[block_threads];
  int low = 0, high = table.count;  // the tensor whose blocks include this one
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.first_block[middle] <= int(blockIdx.x) ? low : high) = middle;
  }
  const int64_t begin = (int64_t(blockIdx.x) - table.first_block[low]) * norm_chunk;
  const int64_t end = begin + norm_chunk < table.size[low] ? begin + norm_chunk : table.size[low];
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const double v = double(compute_t<S>(table.data[low][i]));
    sum += v * v;
  }
  shared[threadIdx.x] = sum;
  for (int step = blockDim.x / 2; step > 0; step /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < step) shared[threadIdx.x] += shared[threadIdx.x + step];
  }
  if (threadIdx.x == 0) parts[blockIdx.x] = shared[0];
}

}  // namespace

Tensor sum_middle(const Tensor& x, int64_t outer, int64_t middle, int64_t inner) {
  if (outer * inner == 0 || middle == 0)
    return Tensor::zeros({outer * inner}, DType::f64, Device::cuda);
  const int lanes = lanes_for(inner);
  const int64_t slots = block_threads / lanes;
  // Enough chunks to occupy a GPU, but no more than one further launch adds quickly.
  const int64_t rows = std::max<int64_t>(16 * slots, (middle + 511) / 512);
  const int64_t chunks = (middle + rows - 1) / rows;
  Tensor y = Tensor::empty({outer * chunks * inner}, DType::f64, Device::cuda);
  dispatch_device(x.dtype(), "sum", [&]<class S>() {
    const int64_t blocks = outer * chunks * ((inner + lanes - 1) / lanes);
    launch("sum", sum_middle_kernel<S>, dim3(static_cast<unsigned>(blocks)), block_threads, middle,
           inner, rows, chunks, lanes, x.device_data<S>(), y.device_data<double>());
  });
  return chunks == 1 ? y : sum_middle(y, outer, chunks, inner);
}

Tensor square_sum(std::span<const Tensor> tensors) {
  std::vector<Tensor> sums;
  dispatch_device(tensors[0].dtype(), "norm", [&]<class S>() {
    for (size_t first = 0; first < tensors.size(); first += most_tensors) {
      TensorTable<S> table{};
      for (const Tensor& t :
           tensors.subspan(first, std::min<size_t>(most_tensors, tensors.size() - first))) {
        const int i = table.count++;
        table.data[i] = t.device_data<S>();
        table.size[i] = t.numel();
        table.first_block[i + 1] =
            table.first_block[i] + int32_t((t.numel() + norm_chunk - 1) / norm_chunk);
      }
      const int32_t blocks = table.first_block[table.count];
      Tensor parts = Tensor::empty({blocks}, DType::f64, Device::cuda);
      launch("norm", squares_kernel<S>, dim3(unsigned(blocks)), block_threads, table,
             parts.device_data<double>());
      sums.push_back(sum_middle(parts, 1, blocks, 1));
    }
  });
  Tensor total = sums[0].reshape({});
  for (size_t i = 1; i < sums.size(); ++i) total = add(total, sums[i].reshape({}));
  return total;
}

}  // namespace cairn::kernels::cuda

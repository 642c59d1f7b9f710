// Nearest neighbours on the GPU. As on the CPU, the nearest row has the greatest score ab - |b|^2 /
// 2: a product whose accumulators start at -|b|^2 / 2 and never leave the registers. A block holds
// 128 queries and walks over rows of the database, 128 at a time; each thread keeps, of the rows
// that it sees, the two best for each of its eight queries. Those within rounding of the second
// best of all are then judged by exact distances. Few queries share the database between several
// blocks.
#include <bit>
#include <cmath>
#include <limits>

#include "tensor/cuda/launch.h"
#include "tensor/kernels/nearest/nearest.h"

namespace cairn::kernels::cuda {
namespace {

using namespace cairn::cuda;

constexpr int tile = 128;  // queries of a block, and rows of the database at a time
constexpr int depth = 8;   // channels of the database at a time
constexpr int per_thread = 8, across = 16;  // 16 x 16 threads, 8 x 8 scores each

/// The i-th of a thread's queries or rows in the tile: two runs of four, read as 16 bytes each.
__device__ inline int place(int thread, int i) { return i / 4 * (tile / 2) + thread * 4 + i % 4; }

/// squares[row] = |row|^2; longest = the bits of the largest of them (of those that are numbers),
/// which compare as the numbers do.
template <class T>
__global__ void squares_kernel(int64_t rows, int64_t c, int lanes, const T* x, T* squares,
                               unsigned long long* longest) {
  const int64_t row = thread_number() / lanes;
  const int lane = threadIdx.x % lanes;
  T sum = 0;
  if (row < rows)
    for (int64_t j = lane; j < c; j += lanes) sum = std::fma(x[row * c + j], x[row * c + j], sum);
  sum = group_sum(sum, lanes);
  if (row >= rows || lane != 0) return;
  squares[row] = sum;
  // Few rows are longer than all before them, so few wait for each other.
  const auto bits = std::bit_cast<unsigned long long>(double(sum));
  if (longest && sum == sum && bits > relaxed_load(longest)) atomicMax(longest, bits);
}

/// Four channels of a row from `channel` on; zeros where there are none.
template <bool whole, class T>
__device__ void load_four(const T* x, int64_t row, int64_t rows, int64_t c, int64_t channel,
                          T (&four)[4]) {
  for (T& v : four) v = 0;
  if (row >= rows || channel >= c) return;
  const T* at = x + row * c + channel;
  if constexpr (whole) {
    const auto f = load<4>(at);
    for (int k = 0; k < 4; ++k) four[k] = f.at[k];
  } else {
    for (int k = 0; k < 4 && channel + k < c; ++k) four[k] = at[k];
  }
}

/// What one block found for one query among its rows.
struct Found {
  double best, second;
  int64_t index;  // -1: no row at a finite distance

  /// Takes another row (of greater or smaller index) into account.
  __device__ void offer(double d, int64_t row) {
    if (d < best || (d == best && row < index)) {
      second = best;
      best = d;
      index = row;
    } else if (d < second) {
      second = d;
    }
  }
};

template <class T>
__device__ double exact_distance(const T* a, const T* b, int64_t c) {
  double sum = 0;
  for (int64_t j = 0; j < c; ++j) {
    const double off = double(a[j]) - double(b[j]);
    sum += off * off;
  }
  return sum;
}

template <class T, bool whole>  // whole: rows are multiples of four channels
__global__ void __launch_bounds__(block_threads, sizeof(T) == 4 ? 2 : 1)
    nearest_kernel(int64_t q, int64_t n, int64_t c, int64_t rows_per_block, const T* queries,
                   const T* database, const T* squares_a, const T* squares_b,
                   const unsigned long long* longest, Found* found) {
  constexpr int slab = 256 / int(sizeof(T));  // channels of the queries that are held at once
  alignas(16) __shared__ T a[slab][tile];
  alignas(16) __shared__ T b[2][depth][tile];
  const int64_t q0 = int64_t(blockIdx.x) * tile;
  const int64_t first = blockIdx.y * rows_per_block;
  const int64_t last = first + rows_per_block < n ? first + rows_per_block : n;
  const int tq = threadIdx.x / across, tr = threadIdx.x % across;
  const int load_row = threadIdx.x / 2, load_channel = threadIdx.x % 2 * 4;
  const T none = -std::numeric_limits<T>::infinity();

  T best[2][per_thread];
  int32_t index[2][per_thread];
  for (int i = 0; i < per_thread; ++i) {
    best[0][i] = best[1][i] = none;
    index[0][i] = index[1][i] = -1;
  }
  const auto load_queries = [&](int64_t channel) {
    for (int k = 0; k < slab; k += depth) {
      T four[4];
      load_four<whole>(queries, q0 + load_row, q, c, channel + k + load_channel, four);
      for (int i = 0; i < 4; ++i) a[k + load_channel + i][load_row] = four[i];
    }
  };
  load_queries(0);
  T next[4];
  load_four<whole>(database, first + load_row, last, c, load_channel, next);
  int buffer = 0;
  for (int64_t r0 = first; r0 < last; r0 += tile) {
    T score[per_thread][per_thread];
#pragma unroll
    for (int j = 0; j < per_thread; ++j) {
      const int64_t row = r0 + place(tr, j);
      const T start = row < last ? T(-0.5) * squares_b[row] : none;
#pragma unroll
      for (int i = 0; i < per_thread; ++i) score[i][j] = start;
    }
    for (int64_t k0 = 0; k0 < c; k0 += depth, buffer ^= 1) {
      if (c > slab && k0 % slab == 0) {  // else the first slab is all there is
        __syncthreads();
        load_queries(k0);
      }
      for (int i = 0; i < 4; ++i) b[buffer][load_channel + i][load_row] = next[i];
      __syncthreads();
      // What comes next is on its way while this is multiplied.
      const bool more = k0 + depth < c;
      load_four<whole>(database, (more ? r0 : r0 + tile) + load_row, last, c,
                       (more ? k0 + depth : 0) + load_channel, next);
#pragma unroll
      for (int k = 0; k < depth; ++k) {
        T x[per_thread], y[per_thread];
#pragma unroll
        for (int i = 0; i < per_thread; ++i) {
          x[i] = a[k0 % slab + k][place(tq, i)];
          y[i] = b[buffer][k][place(tr, i)];
        }
#pragma unroll
        for (int i = 0; i < per_thread; ++i)
#pragma unroll
          for (int j = 0; j < per_thread; ++j) score[i][j] = std::fma(x[i], y[j], score[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < per_thread; ++i)
#pragma unroll
      for (int j = 0; j < per_thread; ++j) {  // rows come in ascending order: the first of equals
        if (!(score[i][j] > best[1][i])) continue;
        const auto row = int32_t(r0) + place(tr, j);
        const bool leads = score[i][j] > best[0][i];
        best[1][i] = leads ? best[0][i] : score[i][j];
        index[1][i] = leads ? index[0][i] : row;
        if (leads) {
          best[0][i] = score[i][j];
          index[0][i] = row;
        }
      }
  }

  const T longest2 = T(std::bit_cast<double>(*longest));
#pragma unroll
  for (int i = 0; i < per_thread; ++i) {
    const int64_t query = q0 + place(tq, i);
    T top = best[0][i], next_top = best[1][i];  // over the 16 threads of this query
    for (int step = across / 2; step > 0; step /= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, top, step);
      const T other_next = __shfl_xor_sync(0xffffffffu, next_top, step);
      const T lower = top < other ? top : other;
      top = top < other ? other : top;
      next_top = next_top < other_next ? other_next : next_top;
      next_top = next_top < lower ? lower : next_top;
    }
    Found mine{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity(),
               -1};
    if (query < q) {
      // Twice the rounding error that a score may have.
      const T size = std::sqrt(squares_a[query] * longest2) + longest2;
      const T threshold = next_top - T(c + 2) * std::numeric_limits<T>::epsilon() * size;
      for (int k = 0; k < 2; ++k)
        if (index[k][i] >= 0 && !(best[k][i] < threshold))
          mine.offer(exact_distance(queries + query * c, database + int64_t(index[k][i]) * c, c),
                     index[k][i]);
    }
    for (int step = across / 2; step > 0; step /= 2) {
      const double d = __shfl_xor_sync(0xffffffffu, mine.best, step);
      const double s = __shfl_xor_sync(0xffffffffu, mine.second, step);
      const int64_t row = __shfl_xor_sync(0xffffffffu, mine.index, step);
      if (row >= 0) mine.offer(d, row);
      if (s < mine.second) mine.second = s;
    }
    if (query < q && tr == 0) found[blockIdx.y * q + query] = mine;
  }
}

/// Joins what the blocks of each query found.
template <class T>
__global__ void join_kernel(int64_t q, int64_t c, int64_t blocks, const T* queries,
                            const T* database, const Found* found, int64_t* index, T* distance,
                            T* second) {
  const int64_t i = thread_number();
  if (i >= q) return;
  Found all = found[i];
  for (int64_t k = 1; k < blocks; ++k) {
    const Found& f = found[k * q + i];
    if (f.index >= 0) all.offer(f.best, f.index);
    if (f.second < all.second) all.second = f.second;
  }
  if (all.index < 0) {  // every distance is NaN or infinite
    all.index = 0;
    all.best = exact_distance(queries + i * c, database, c);
  }
  index[i] = all.index;
  distance[i] = T(all.best);
  second[i] = T(all.second);
}

template <class T>
Tensor squares_of(const Tensor& x, Tensor* longest) {
  const int64_t rows = x.dim(0), c = x.dim(1);
  const int lanes = lanes_for(c);
  Tensor squares = Tensor::empty({rows}, x.dtype(), Device::cuda);
  launch(
      "nearest", squares_kernel<T>, blocks_for(rows * lanes, block_threads, 1 << 30), block_threads,
      rows, c, lanes, x.device_data<T>(), squares.device_data<T>(),
      longest ? reinterpret_cast<unsigned long long*>(longest->device_data<int64_t>()) : nullptr);
  return squares;
}

}  // namespace

Nearest nearest(const Tensor& queries, const Tensor& database) {
  const int64_t q = queries.dim(0), n = database.dim(0), c = queries.dim(1);
  const DType type = queries.dtype();
  require(n <= std::numeric_limits<int32_t>::max(), ErrorId::argument, "nearest",
          "the database has ", n, " rows, too many for the GPU");
  Nearest result{Tensor::empty({q}, DType::i64, Device::cuda),
                 Tensor::empty({q}, type, Device::cuda), Tensor::empty({q}, type, Device::cuda)};
  dispatch_float(type, "nearest", [&]<class T>() {
    Tensor longest = Tensor::zeros({1}, DType::i64, Device::cuda);
    const Tensor a2 = squares_of<T>(queries, nullptr), b2 = squares_of<T>(database, &longest);
    const int64_t query_tiles = (q + tile - 1) / tile, row_tiles = (n + tile - 1) / tile;
    // About a thousand blocks, each with at least four tiles of the database.
    const int64_t want = std::clamp<int64_t>(1024 / query_tiles, 1, (row_tiles + 3) / 4);
    const int64_t tiles_per_block = (row_tiles + want - 1) / want;
    const int64_t blocks = (row_tiles + tiles_per_block - 1) / tiles_per_block;
    Tensor found = Tensor::empty({blocks * q * int64_t(sizeof(Found))}, DType::u8, Device::cuda);
    launch("nearest", c % 4 == 0 ? nearest_kernel<T, true> : nearest_kernel<T, false>,
           dim3(unsigned(query_tiles), unsigned(blocks)), block_threads, q, n, c,
           tiles_per_block * tile, queries.device_data<T>(), database.device_data<T>(),
           a2.template device_data<T>(), b2.template device_data<T>(),
           reinterpret_cast<const unsigned long long*>(longest.device_data<int64_t>()),
           static_cast<Found*>(found.device_raw()));
    launch("nearest", join_kernel<T>, blocks_for(q, block_threads, 1 << 30), block_threads, q, c,
           blocks, queries.device_data<T>(), database.device_data<T>(),
           static_cast<const Found*>(found.device_raw()), result.index.device_data<int64_t>(),
           result.distance.device_data<T>(), result.second.device_data<T>());
  });
  return result;
}

}  // namespace cairn::kernels::cuda

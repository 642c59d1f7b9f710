#include "tensor/kernels/gemm/implicit.h"

#include <algorithm>

#include "tensor/kernels/gemm/micro_kernel.h"
#include "tensor/kernels/gemm/panels.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace cairn::kernels {
namespace {

// Sizes that fit common caches: a block of input stays in L2.
constexpr int64_t block_bytes = 256 << 10;

/// Taps whose values lie side by side in memory: (k, c) of one row when columns are adjacent.
struct Run {
  int64_t row, column, first_tap, taps;
};

template <class T>
std::vector<Run> find_runs(const Windows<T>& x) {
  std::vector<Run> runs;
  const auto &down = x.tap[0], &across = x.tap[1];
  bool adjacent = true;
  for (size_t k = 1; k < across.size(); ++k) adjacent &= across[k] == across[k - 1] + 1;
  const int64_t count = int64_t(across.size()), length = adjacent ? count : 1;
  for (int64_t j = 0; j < int64_t(down.size()); ++j)
    for (int64_t k = 0; k < count; k += length)
      runs.push_back({down[size_t(j)], across[size_t(k)], j * count + k, length});
  return runs;
}

/// The output pixels cut into blocks, and the padded piece of the input that each needs.
template <class T>
class Blocks {
 public:
  /// `width`: pixels of a tile. Blocks become smaller than the cache asks for to make enough
  /// tasks, but not smaller than `least` pixels.
  Blocks(const Windows<T>& x, int64_t width, int64_t least) : x_(x), channels_(x.channels()) {
    for (size_t a : {0, 1}) {
      const auto [low, high] = std::ranges::minmax(x.tap[a]);
      first_[a] = low;
      span_[a] = high - low + 1;
    }
    const int64_t budget = std::max<int64_t>(1, block_bytes / int64_t(sizeof(T)) / channels_);
    rows_ = std::min<int64_t>(x.rows, 4);
    const int64_t fit = ((budget / input_rows() - span_[1]) / x.step[1] + 1) / width * width;
    const auto even = [&](int64_t most) {
      const int64_t pieces = ceil_div(x.columns, std::max(most, width));
      return std::min(x.columns, round_up(ceil_div(x.columns, pieces), width));
    };
    columns_ = even(fit);
    if (columns_ == x.columns)
      rows_ = std::clamp((budget / input_columns() - span_[0]) / x.step[0] + 1, rows_, x.rows);
    while (count() < enough_tasks && pixels() > least) {
      if (rows_ > 1)
        rows_ = ceil_div(rows_, 2);
      else if (columns_ > width)
        columns_ = even(columns_ / 2);
      else
        break;
    }
  }

  int64_t count() const { return x_.batch * down() * across(); }
  /// Elements from row to row and of the whole piece; a tile may read `slack` beyond it.
  int64_t pitch() const { return input_columns() * channels_; }
  int64_t size() const { return input_rows() * pitch(); }
  int64_t pixels() const { return rows_ * columns_; }
  /// Where a run starts, relative to the window of the block's first pixel.
  int64_t offset(const Run& run) const {
    return (run.row - first_[0]) * pitch() + (run.column - first_[1]) * channels_;
  }

  struct Block {
    int64_t image, row, column, rows, columns;
  };
  Block operator[](int64_t index) const {
    const int64_t column = index % across() * columns_;
    const int64_t row = index / across() % down() * rows_;
    return {index / across() / down(), row, column, std::min(rows_, x_.rows - row),
            std::min(columns_, x_.columns - column)};
  }

  /// Copies what the windows of a block see, zeros included, to `to`.
  void copy(const Block& b, T* to) const {
    const int64_t left = b.column * x_.step[1] + first_[1];
    const int64_t begin = std::clamp<int64_t>(-left, 0, input_columns());
    const int64_t end = std::clamp<int64_t>(x_.width - left, begin, input_columns());
    const int64_t rows = (b.rows - 1) * x_.step[0] + span_[0];
    for (int64_t r = 0; r < rows; ++r, to += pitch()) {
      const int64_t row = b.row * x_.step[0] + first_[0] + r;
      if (row < 0 || row >= x_.height || begin == end) {
        std::fill_n(to, pitch(), T(0));
        continue;
      }
      std::fill_n(to, begin * channels_, T(0));
      T* next = to + begin * channels_;
      for (const auto& source : x_.sources) {
        const int64_t c = source.channels;
        const T* from = source.at(b.image, row, left + begin);
        if (source.pixel == c && c == channels_)
          std::copy_n(from, (end - begin) * c, next);
        else
          for (int64_t i = 0; i < end - begin; ++i)
            std::copy_n(from + i * source.pixel, c, next + i * channels_);
        next += c;
      }
      std::fill_n(to + end * channels_, (input_columns() - end) * channels_, T(0));
    }
  }

 private:
  int64_t down() const { return ceil_div(x_.rows, rows_); }
  int64_t across() const { return ceil_div(x_.columns, columns_); }
  int64_t input_rows() const { return (rows_ - 1) * x_.step[0] + span_[0]; }
  int64_t input_columns() const { return (columns_ - 1) * x_.step[1] + span_[1]; }

  const Windows<T>& x_;
  const int64_t channels_;
  std::array<int64_t, 2> first_{}, span_{};
  int64_t rows_ = 1, columns_ = 1;
};

/// Copies `columns` values of each pixel to `to`, zero up to `width`.
template <class T>
void pack_pixels(const T* from, int64_t stride, int64_t pixels, int64_t columns, int64_t width,
                 T* to) {
  for (int64_t i = 0; i < pixels; ++i, from += stride, to += width) {
    std::copy_n(from, columns, to);
    std::fill_n(to + columns, width - columns, T(0));
  }
}

}  // namespace

template <class T>
void correlate(const Windows<T>& x, const T* packed, int64_t outputs, const Pixels<T>& y) {
  if (x.batch == 0 || x.rows == 0 || x.columns == 0 || outputs == 0) return;
  const int64_t channels = x.channels();
  if (channels == 0 || x.tap[0].empty() || x.tap[1].empty()) {
    // A sum of nothing: the same as one channel of zeros.
    Windows<T> nothing;
    nothing.sources = {{nullptr, 1, 0, 0, 0}};
    nothing.batch = x.batch, nothing.rows = x.rows, nothing.columns = x.columns;
    nothing.height = 0;
    Scratch<T> zeros(round_up(outputs, micro_kernel<T>().lanes));
    std::fill_n(zeros.data(), round_up(outputs, micro_kernel<T>().lanes), T(0));
    return correlate(nothing, zeros.data(), outputs, y);
  }
  const MicroKernel<T> kernel = micro_kernel<T>();
  const Panels panels{outputs, kernel.lanes};
  const std::vector<Run> runs = find_runs(x);
  const int64_t depth = int64_t(x.tap[0].size() * x.tap[1].size()) * channels;

  const int64_t most_rows = std::max(kernel.one_vector_rows, kernel.two_vector_rows);
  const Blocks<T> blocks(x, kernel.rows(outputs), small_task / (depth * outputs));
  const int64_t slack = most_rows * x.step[1] * channels;
  const int64_t groups =
      panel_groups(panels.count(), blocks.count(), blocks.pixels() * depth * outputs);
  std::vector<int64_t> offsets;
  for (const Run& run : runs) offsets.push_back(blocks.offset(run));

  parallel_for(blocks.count() * groups, 1, [&](int64_t task, int64_t) {
    const auto block = blocks[task / groups];
    Scratch<T> piece(blocks.size() + slack);
    blocks.copy(block, piece.data());
    std::fill_n(piece.data() + blocks.size(), slack, T(0));
    Tile<T> tile;
    tile.a_step = x.step[1] * channels;
    tile.run_offset = offsets.data();
    tile.runs = int64_t(runs.size());
    tile.run_length = runs.front().taps * channels;
    tile.c_step = y.pixel;
    tile.relu = y.relu;
    const int64_t group = task % groups, first = group * panels.count() / groups;
    for (int64_t p = first; p < (group + 1) * panels.count() / groups; ++p) {
      const int64_t o = p * 2 * panels.lanes;
      tile.columns = panels.columns(p);
      tile.b = packed + o * depth;
      tile.bias = y.bias ? y.bias + o : nullptr;
      const int64_t most = kernel.rows(tile.columns);
      for (int64_t r = 0; r < block.rows; ++r) {
        for (int64_t u = 0; u < block.columns; u += most) {
          const int64_t at =
              block.image * y.image + (block.row + r) * y.row + (block.column + u) * y.pixel + o;
          tile.rows = std::min(most, block.columns - u);
          tile.a = piece.data() + r * x.step[0] * blocks.pitch() + u * tile.a_step;
          tile.c = y.y + at;
          tile.residual =
              y.residual ? y.residual + at + block.image * (y.residual_image - y.image) : nullptr;
          kernel.multiply(tile);
        }
      }
    }
  });
}

template <class T>
void correlate_weights(const Windows<T>& x, const T* dy, int64_t outputs, T* dw,
                       const TapMatrices& matrices) {
  const int64_t channels = x.channels(), depth = int64_t(matrices.tap.size()) * channels;
  if (depth == 0 || outputs == 0) return;
  const MicroKernel<T> kernel = micro_kernel<T>();
  const Panels panels{outputs, kernel.lanes};
  const int64_t sums = depth * panels.padded();
  const int64_t pixels = x.batch * x.rows * x.columns;
  const std::vector<Run> runs = find_runs(x);
  const int64_t run_length = runs.front().taps * channels;

  // Each chunk of blocks has sums of its own; they are added up afterwards. That takes as long as
  // the products of some 50 pixels, hence chunks of many pixels. If these are few chunks, then each
  // is shared by tasks that take some panels each, and all copy the same input.
  std::vector<Tensor> partial;
  if (pixels > 0) {
    const Blocks<T> blocks(x, kernel.rows(outputs), 256);
    const int64_t most = std::clamp<int64_t>((64 << 20) / (sums * int64_t(sizeof(T))), 1, 32);
    const int64_t grain = ceil_div(blocks.count(), std::clamp<int64_t>(pixels / 1024, 1, most));
    const int64_t chunks = num_chunks(blocks.count(), grain);
    const int64_t groups = panel_groups(panels.count(), chunks, pixels / chunks * depth * outputs);
    for (int64_t i = 0; i < chunks; ++i) partial.push_back(Tensor::empty({sums}, dtype_of<T>()));

    const int64_t slack = std::max(kernel.one_vector_rows, kernel.two_vector_rows);
    parallel_for(chunks * groups, 1, [&](int64_t task, int64_t) {
      T* const sum = partial[size_t(task / groups)].template data<T>();
      Scratch<T> piece(blocks.size() + slack), dy_panel(blocks.pixels() * 2 * panels.lanes);
      std::vector<int64_t> row_offsets;
      Tile<T> tile;
      tile.across_pixels = false;
      tile.a_step = x.step[1] * channels;
      tile.c_step = panels.padded();
      tile.b = dy_panel.data();
      const int64_t group = task % groups, first = group * panels.count() / groups;
      const int64_t begin = task / groups * grain;
      for (int64_t i = begin; i < std::min(begin + grain, blocks.count()); ++i) {
        const auto block = blocks[i];
        blocks.copy(block, piece.data());
        std::fill_n(piece.data() + blocks.size(), slack, T(0));
        row_offsets.clear();
        for (int64_t r = 0; r < block.rows; ++r)
          row_offsets.push_back(r * x.step[0] * blocks.pitch());
        tile.run_offset = row_offsets.data();
        tile.runs = block.rows;
        tile.run_length = block.columns;
        for (int64_t p = first; p < (group + 1) * panels.count() / groups; ++p) {
          const int64_t o = p * 2 * panels.lanes, width = panels.width(p);
          for (int64_t r = 0; r < block.rows; ++r) {
            const int64_t row = (block.image * x.rows + block.row + r) * x.columns + block.column;
            pack_pixels(dy + row * outputs + o, outputs, block.columns, panels.columns(p), width,
                        dy_panel.data() + r * block.columns * width);
          }
          tile.columns = width;
          const int64_t rows = kernel.rows(width);
          for (size_t j = 0; j < runs.size(); ++j) {
            for (int64_t m = 0; m < run_length; m += rows) {
              tile.rows = std::min(rows, run_length - m);
              tile.a = piece.data() + blocks.offset(runs[j]) + m;
              tile.c = sum + (int64_t(j) * run_length + m) * panels.padded() + o;
              tile.residual = i > begin ? tile.c : nullptr;
              kernel.multiply(tile);
            }
          }
        }
      }
    });
  }

  // Chunk after chunk, in order; 16 rows at a time so that the writes to dw share cache lines.
  parallel_for(depth, 16, [&](int64_t begin, int64_t end) {
    const int64_t rows = end - begin, padded = panels.padded();
    Scratch<T> total(rows * padded);
    T* const t = total.data();
    std::fill_n(t, rows * padded, T(0));
    for (const Tensor& chunk : partial) {
      const T* s = chunk.template data<T>() + begin * padded;
      for (int64_t i = 0; i < rows * padded; ++i) t[i] += s[i];
    }
    std::array<T*, 16> to;
    for (int64_t i = begin; i < end; ++i)
      to[size_t(i - begin)] =
          dw + matrices.tap[size_t(i / channels)] + i % channels * matrices.channel_stride;
    if (matrices.output_stride == 1) {
      for (int64_t i = 0; i < rows; ++i) std::copy_n(t + i * padded, outputs, to[size_t(i)]);
    } else {
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t i = 0; i < rows; ++i)
          to[size_t(i)][o * matrices.output_stride] = t[i * padded + o];
    }
  });
}

#define CAIRN_INSTANTIATE(T)                                                       \
  template void correlate(const Windows<T>&, const T*, int64_t, const Pixels<T>&); \
  template void correlate_weights(const Windows<T>&, const T*, int64_t, T*, const TapMatrices&);
CAIRN_INSTANTIATE(float)
CAIRN_INSTANTIATE(double)
#undef CAIRN_INSTANTIATE

}  // namespace cairn::kernels

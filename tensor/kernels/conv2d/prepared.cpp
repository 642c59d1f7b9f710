#include "tensor/kernels/conv2d/prepared.h"

#include "tensor/kernels/conv2d/winograd.h"
#include "tensor/kernels/conv2d/winograd_transforms.h"
#include "tensor/kernels/gemm/micro_kernel.h"

namespace cairn::kernels {
namespace {

/// Pixels of x that are `phase` apart from a multiple of the stride see these taps of dy only:
/// pixel phase + t * stride sees dy[t + offset] times the weight's row `index`.
struct Phase {
  int64_t phase, count;
  std::vector<int64_t> offset, index;
};

std::vector<Phase> phases(size_t axis, int64_t extent, int64_t kernel, const Conv2dGeometry& g) {
  std::vector<Phase> result;
  const int64_t stride = g.stride[axis];
  for (int64_t p = 0; p < std::min(stride, extent); ++p) {
    Phase phase{p, (extent - p + stride - 1) / stride, {}, {}};
    for (int64_t k = kernel - 1; k >= 0; --k) {  // backwards, so that the offsets rise
      const int64_t distance = p + g.padding[axis] - k * g.dilation[axis];
      if (distance % stride) continue;
      phase.offset.push_back(distance / stride);
      phase.index.push_back(k);
    }
    result.push_back(std::move(phase));
  }
  return result;
}

/// How many of phase, phase + step, phase + 2 step, ... lie below `end`.
int64_t count_below(int64_t end, int64_t phase, int64_t step) {
  return end <= phase ? 0 : ceil_div(end - phase, step);
}

}  // namespace

template <class T>
Windows<T> forward_windows(const Conv2dExtents& c, const Conv2dGeometry& g) {
  Windows<T> windows;
  windows.batch = c.n;
  windows.height = c.h;
  windows.width = c.w;
  windows.step = g.stride;
  windows.tap = {};
  for (int64_t k = 0; k < c.kh; ++k) windows.tap[0].push_back(k * g.dilation[0] - g.padding[0]);
  for (int64_t k = 0; k < c.kw; ++k) windows.tap[1].push_back(k * g.dilation[1] - g.padding[1]);
  windows.rows = c.oh;
  windows.columns = c.ow;
  return windows;
}

TapMatrices forward_matrices(const Conv2dExtents& c) {
  TapMatrices m{{}, 1, c.kh * c.kw * c.i};
  for (int64_t k = 0; k < c.kh * c.kw; ++k) m.tap.push_back(k * c.i);
  return m;
}

template <class T>
ConvAlgorithm algorithm_for(const Windows<T>& x, int64_t inputs, int64_t outputs) {
  if (!is_3x3(x) || x.batch * x.rows * x.columns * inputs * outputs == 0)
    return ConvAlgorithm::direct;
  const ConvAlgorithm wanted = conv_algorithm();
  if (wanted != ConvAlgorithm::automatic) return wanted;
  return cheapest({x.batch, x.rows, x.columns, inputs, outputs, micro_kernel<T>().lanes});
}

template <class T>
void PreparedConv<T>::add(Windows<T> windows, std::array<int64_t, 2> phase, ConvAlgorithm algorithm,
                          const T* w, const TapMatrices& matrices, int64_t inputs) {
  const Panels panels{outputs_, micro_kernel<T>().lanes};
  Scratch<T> weights = pack_weights(w, matrices, inputs, panels);
  if (algorithm != ConvAlgorithm::direct)
    weights = transform_weights(algorithm, weights.data(), inputs, panels);
  parts_.push_back({std::move(windows), phase, algorithm, std::move(weights)});
}

template <class T>
PreparedConv<T> PreparedConv<T>::forward(const Conv2dExtents& e, const Conv2dGeometry& g,
                                         const T* w) {
  PreparedConv conv;
  conv.outputs_ = e.o;
  conv.rows_ = e.oh;
  const Windows<T> windows = forward_windows<T>(e, g);
  conv.add(windows, {0, 0}, algorithm_for(windows, e.i, e.o), w, forward_matrices(e), e.i);
  return conv;
}

namespace {

/// Whether winograd_up() computes it, and is to.
template <class T>
bool runs_up(const Conv2dExtents& e, const Conv2dGeometry& g) {
  using Pair = std::array<int64_t, 2>;
  if (g.stride != Pair{2, 2} || g.padding != Pair{0, 0} || g.dilation != Pair{1, 1} || e.kh != 3 ||
      e.kw != 3 || e.n * e.h * e.w * e.o * e.i == 0)
    return false;
  const ConvAlgorithm wanted = conv_algorithm();
  if (wanted != ConvAlgorithm::automatic) return wanted != ConvAlgorithm::direct;
  return cheapest_up({e.n, e.h, e.w, e.o, e.i, micro_kernel<T>().lanes}) != ConvAlgorithm::direct;
}

}  // namespace

template <class T>
PreparedConv<T> PreparedConv<T>::transposed(const Conv2dExtents& e, const Conv2dGeometry& g,
                                            const T* w) {
  PreparedConv conv;
  conv.outputs_ = e.i;
  conv.rows_ = e.h;
  if (runs_up<T>(e, g)) {
    Windows<T> windows;
    windows.batch = e.n;
    windows.height = e.oh;
    windows.width = e.ow;
    windows.tap = {std::vector<int64_t>{-1, 0}, std::vector<int64_t>{-1, 0}};
    windows.rows = e.h;
    windows.columns = e.w;
    TapMatrices matrices{{}, 9 * e.i, 1};
    for (int64_t k = 0; k < 9; ++k) matrices.tap.push_back(k * e.i);
    conv.add(std::move(windows), {0, 0}, ConvAlgorithm::winograd_up, w, matrices, e.o);
    return conv;
  }
  conv.step_ = g.stride;
  for (const Phase& down : phases(0, e.h, e.kh, g)) {
    for (const Phase& across : phases(1, e.w, e.kw, g)) {
      Windows<T> windows;
      windows.batch = e.n;
      windows.height = e.oh;
      windows.width = e.ow;
      windows.tap = {down.offset, across.offset};
      windows.rows = down.count;
      windows.columns = across.count;
      TapMatrices matrices{{}, e.kh * e.kw * e.i, 1};
      for (int64_t j : down.index)
        for (int64_t k : across.index) matrices.tap.push_back((j * e.kw + k) * e.i);
      conv.add(windows, {down.phase, across.phase}, algorithm_for(windows, e.o, e.i), w, matrices,
               e.o);
    }
  }
  return conv;
}

template <class T>
void PreparedConv<T>::run(std::span<const Image<const T>> x, const Image<T>& y,
                          const ImageEpilogue<T>& epilogue, int64_t begin, int64_t end) const {
  require(begin % row_multiple() == 0, ErrorId::argument, "conv2d", "row ", begin,
          " does not begin a tile of ", row_multiple(), " rows");
  for (const Part& part : parts_) {
    const int64_t first = count_below(begin, part.phase[0], step_[0]);
    Windows<T> windows = part.windows;
    windows.sources.assign(x.begin(), x.end());
    windows.rows = count_below(end, part.phase[0], step_[0]) - first;
    if (windows.rows == 0) continue;
    for (int64_t& tap : windows.tap[0]) tap += part.seen_from(first);
    // A tile may see more rows than its results need, and they may not be there: zeros serve.
    if (!windows.tap[0].empty())
      windows.height =
          std::min(windows.height, part.seen_from(windows.rows - 1) + windows.tap[0].back() + 1);
    const int64_t row = part.phase[0] + first * step_[0];
    const auto& residual = epilogue.residual;
    const Pixels<T> pixels{y.at(0, row, part.phase[1]),
                           y.image,
                           step_[0] * y.row,
                           step_[1] * y.pixel,
                           epilogue.bias,
                           residual.x ? residual.at(0, row, part.phase[1]) : nullptr,
                           residual.image,
                           epilogue.relu};
    if (part.algorithm != ConvAlgorithm::direct) {
      winograd(part.algorithm, windows, part.weights.data(), outputs_, pixels);
      continue;
    }
    leave_out_unseen(windows);
    if (pixels.row == windows.columns * pixels.pixel &&
        (windows.batch == 1 ||
         (y.image == windows.rows * pixels.row && (!residual.x || residual.image == y.image))))
      join_rows(windows);
    correlate(windows, part.weights.data(), outputs_, pixels);
  }
}

template <class T>
void leave_out_unseen(Windows<T>& w) {
  if (w.tap[0].size() != 1 || w.tap[1].size() != 1 || w.step == std::array<int64_t, 2>{1, 1})
    return;
  const std::array first{w.tap[0][0], w.tap[1][0]};
  if (first[0] < 0 || (w.rows - 1) * w.step[0] + first[0] >= w.height || first[1] < 0 ||
      (w.columns - 1) * w.step[1] + first[1] >= w.width)
    return;
  for (auto& s : w.sources) {
    s.x = s.at(0, first[0], first[1]);
    s.top = 0;
    s.row *= w.step[0];
    s.pixel *= w.step[1];
  }
  w.tap[0][0] = w.tap[1][0] = 0;
  w.height = w.rows;
  w.width = w.columns;
  w.step = {1, 1};
}

template <class T>
void join_rows(Windows<T>& w) {
  const bool one_tap = w.tap[0].size() == 1 && w.tap[1].size() == 1 && w.tap[1][0] == 0;
  if (!one_tap || w.step != std::array<int64_t, 2>{1, 1} || w.columns != w.width) return;
  const int64_t first = w.tap[0][0];
  if (first < 0 || first + w.rows > w.height || (w.batch > 1 && w.rows != w.height)) return;
  for (const auto& s : w.sources)
    if (s.row != w.width * s.pixel || (w.batch > 1 && s.image != w.height * s.row)) return;
  for (auto& s : w.sources) {
    s.x = s.at(0, first, 0);
    s.top = 0;
  }
  w.tap[0][0] = 0;
  w.width = w.columns = w.batch * w.rows * w.columns;
  w.batch = w.height = w.rows = 1;
}

template <class T>
int64_t PreparedConv<T>::row_multiple() const {
  int64_t rows = 1;
  for (const Part& part : parts_)
    if (part.algorithm != ConvAlgorithm::direct)
      rows = std::max(rows, step_[0] * winograd_transforms<T>(part.algorithm).out);
  return rows;
}

template <class T>
std::array<int64_t, 2> PreparedConv<T>::rows_seen(int64_t begin, int64_t end) const {
  int64_t low = 0, high = 0;
  bool any = false;
  for (const Part& part : parts_) {
    const int64_t from = count_below(begin, part.phase[0], step_[0]);
    const int64_t to = count_below(end, part.phase[0], step_[0]);
    if (from == to || part.windows.tap[0].empty()) continue;
    const int64_t first = part.seen_from(from) + part.windows.tap[0].front();
    const int64_t last = part.seen_from(to - 1) + part.windows.tap[0].back() + 1;
    low = any ? std::min(low, first) : first;
    high = any ? std::max(high, last) : last;
    any = true;
  }
  const int64_t height = parts_.empty() ? 0 : parts_[0].windows.height;
  return {std::clamp<int64_t>(low, 0, height), std::clamp<int64_t>(high, 0, height)};
}

#define CAIRN_INSTANTIATE(T)                                                        \
  template class PreparedConv<T>;                                                   \
  template void leave_out_unseen(Windows<T>&);                                      \
  template void join_rows(Windows<T>&);                                             \
  template Windows<T> forward_windows(const Conv2dExtents&, const Conv2dGeometry&); \
  template ConvAlgorithm algorithm_for(const Windows<T>&, int64_t, int64_t);
CAIRN_INSTANTIATE(float)
CAIRN_INSTANTIATE(double)
#undef CAIRN_INSTANTIATE

}  // namespace cairn::kernels

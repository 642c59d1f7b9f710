// Convolutions whose weights are packed once and which read and write parts of images: what a plan
// is made of, and what conv2d() and conv2d_data_grad() are on the CPU.
#pragma once

#include <span>
#include <vector>

#include "tensor/kernels/conv2d/algorithm.h"
#include "tensor/kernels/conv2d/check.h"
#include "tensor/kernels/gemm/panels.h"

namespace cairn::kernels {

/// What is added to a result before it is written, in this order.
template <class T>
struct ImageEpilogue {
  const T* bias = nullptr;  ///< a value per channel, or null
  Image<const T> residual;  ///< rows as far apart as those of the result (and may be it), or none
  bool relu = false;
};

/// A convolution, or a transposed one, for the SIMD target in use when it was made.
template <class T>
class PreparedConv {
 public:
  /// y = x * w; extents as check_conv2d() gave them (y may be smaller than the geometry says: what
  /// lies beyond is not computed). w: O x KH x KW x I.
  static PreparedConv forward(const Conv2dExtents& e, const Conv2dGeometry& g, const T* w);
  /// The data gradient: from images of y's shape to images of x's.
  static PreparedConv transposed(const Conv2dExtents& e, const Conv2dGeometry& g, const T* w);

  /// The rows [begin, end) of each result, `begin` a multiple of row_multiple(). The images'
  /// channels follow each other (what joining them would give); only the rows that are seen need to
  /// be there.
  void run(std::span<const Image<const T>> x, const Image<T>& y, const ImageEpilogue<T>& epilogue,
           int64_t begin, int64_t end) const;
  int64_t rows() const { return rows_; }
  /// Rows of a tile: bands that end at multiples of it have full tiles.
  int64_t row_multiple() const;
  /// Of the input, the rows [first, last) that the rows [begin, end) of the result are made from.
  std::array<int64_t, 2> rows_seen(int64_t begin, int64_t end) const;
  ConvAlgorithm algorithm() const {
    return parts_.empty() ? ConvAlgorithm::direct : parts_[0].algorithm;
  }
  /// Elements of the packed weights.
  int64_t weight_count() const {
    int64_t sum = 0;
    for (const Part& part : parts_) sum += part.weights.count();
    return sum;
  }

 private:
  /// The results at (phase + k step) of each axis, which see the same taps.
  struct Part {
    Windows<T> windows;  // without sources
    std::array<int64_t, 2> phase{0, 0};
    ConvAlgorithm algorithm;
    Scratch<T> weights;

    bool up() const { return algorithm == ConvAlgorithm::winograd_up; }
    /// Where the window of result row `r` of this part begins, but for its tap.
    int64_t seen_from(int64_t r) const { return up() ? r / 2 : r * windows.step[0]; }
  };
  void add(Windows<T> windows, std::array<int64_t, 2> phase, ConvAlgorithm algorithm, const T* w,
           const TapMatrices& m, int64_t inputs);

  int64_t outputs_ = 0, rows_ = 0;
  std::array<int64_t, 2> step_{1, 1};  // between the results of a part
  std::vector<Part> parts_;
};

/// The algorithm for windows of `inputs` channels: what set_conv_algorithm() said, where it can.
template <class T>
ConvAlgorithm algorithm_for(const Windows<T>& x, int64_t inputs, int64_t outputs);

/// The windows that the forward pass and the weight gradient look through, without sources, and
/// where the weights of their taps are.
template <class T>
Windows<T> forward_windows(const Conv2dExtents& c, const Conv2dGeometry& g);
TapMatrices forward_matrices(const Conv2dExtents& c);
/// Where single pixels are seen and others between them never, those that are seen become an image
/// of their own, so that nothing else is read.
template <class T>
void leave_out_unseen(Windows<T>& windows);
/// Where every pixel is seen alone and none is missing, one long row needs no borders.
template <class T>
void join_rows(Windows<T>& windows);

/// Dense images of `channels`.
template <class T>
Image<T> dense(T* x, int64_t height, int64_t width, int64_t channels) {
  return {x, channels, channels, width * channels, height * width * channels};
}

}  // namespace cairn::kernels

// Products whose left matrix is never formed: the windows of an image, times a matrix. Matrix
// products, convolutions and both their gradients are the two functions below.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cairn::kernels {

/// Images somewhere in memory; strides count elements.
template <class T>
struct Image {
  T* x = nullptr;
  int64_t channels = 0;
  int64_t pixel = 0, row = 0, image = 0;  ///< from pixel to pixel, row to row, image to image
  int64_t top = 0;                        ///< x points to this row; those above are not there

  T* at(int64_t n, int64_t r, int64_t c) const {
    return x + n * image + (r - top) * row + c * pixel;
  }
};

/// Which pixels of an image each output pixel sees. Output (n, t, u) sees at tap (j, k) the pixel
/// (n, t * step[0] + tap[0][j], u * step[1] + tap[1][k]); outside the image there are zeros.
template <class T>
struct Windows {
  std::vector<Image<const T>> sources;  ///< whose channels follow each other
  int64_t batch = 1, height = 1, width = 1;
  std::array<int64_t, 2> step{1, 1};
  std::array<std::vector<int64_t>, 2> tap{std::vector<int64_t>{0}, std::vector<int64_t>{0}};
  int64_t rows = 1, columns = 1;  ///< output pixels per image

  int64_t channels() const {
    int64_t sum = 0;
    for (const auto& s : sources) sum += s.channels;
    return sum;
  }
};

/// Where the matrix of tap (j, k) is: its element (c, o) is at tap[j * (taps along x) + k] +
/// c * channel_stride + o * output_stride.
struct TapMatrices {
  std::vector<int64_t> tap{0};
  int64_t channel_stride = 0, output_stride = 0;
};

/// Where results go: pixel (n, t, u) starts at y + n * image + t * row + u * pixel.
template <class T>
struct Pixels {
  T* y = nullptr;
  int64_t image = 0, row = 0, pixel = 0;
  const T* bias = nullptr;      ///< a value per output channel, or null
  const T* residual = nullptr;  ///< or null; laid out as y (and may be y), but for
  int64_t residual_image = 0;   ///< its own stride from image to image
  bool relu = false;
};

/// y(n, t, u, o) = epilogue(sum over j, k, c of window(n, t, u; j, k, c) w(j, k; c, o)), with w as
/// pack_weights() (panels.h) packed it.
template <class T>
void correlate(const Windows<T>& x, const T* packed, int64_t outputs, const Pixels<T>& y);

/// dw(j, k; c, o) = sum over n, t, u of window(n, t, u; j, k, c) dy(n, t, u, o); dy is dense.
/// Summed in chunks that depend on sizes only.
template <class T>
void correlate_weights(const Windows<T>& x, const T* dy, int64_t outputs, T* dw,
                       const TapMatrices& matrices);

}  // namespace cairn::kernels

// The one inner loop of matrix products and convolutions: a tile of C kept in registers.
#pragma once

#include <cstdint>

namespace cairn::kernels {

/// c(m, n) = epilogue(sum over k of a(m, k) b(k, n)) for m < rows, n < columns.
/// The k axis consists of `runs` pieces of `run_length`; piece r of `a` starts at a +
/// run_offset[r]. Everything counts elements. `a` must be readable up to MicroKernel::rows rows,
/// whatever `rows`.
template <class T>
struct Tile {
  const T* a = nullptr;
  int64_t a_step = 0;  ///< across_pixels: a(m, k) = a[m * a_step + k], else a[m + k * a_step]
  bool across_pixels = true;
  const int64_t* run_offset = nullptr;
  int64_t runs = 0, run_length = 0;
  /// A packed panel: k x width, width = lanes or 2 lanes, whichever holds `columns`. Aligned to
  /// vectors, readable to the full width.
  const T* b = nullptr;
  T* c = nullptr;
  const T* residual = nullptr;  ///< laid out as c (and may be c), or null
  int64_t c_step = 0;           ///< from row to row
  const T* bias = nullptr;      ///< `columns` values, or null
  bool relu = false;
  int64_t rows = 0, columns = 0;
};

/// The inner loop of the SIMD target in use. A panel of one vector affords more rows per tile.
template <class T>
struct MicroKernel {
  int64_t lanes;                             ///< elements of one vector
  int64_t one_vector_rows, two_vector_rows;  ///< most rows of a tile
  void (*multiply)(const Tile<T>&);

  int64_t rows(int64_t columns) const {
    return columns > lanes ? two_vector_rows : one_vector_rows;
  }
};

template <class T>
MicroKernel<T> micro_kernel();

}  // namespace cairn::kernels

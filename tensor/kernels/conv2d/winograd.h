// 3x3 correlation by Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4 (Lavin & Gray, 2016,
// https://arxiv.org/abs/1509.09308): the image is cut into tiles of m x m results. Each sees t x t
// pixels, t = m + 2, which a transform turns into t x t numbers; these meet as many numbers of the
// transformed kernel, one multiply-add each, and a second transform turns them into m x m results:
// t^2 multiply-adds instead of 9 m^2. The transposed convolution of stride 2 has tiles of 6 x 6
// results of 4 x 4 pixels through 7 x 7 numbers: 49 instead of 81.
#pragma once

#include "tensor/kernels/conv2d/algorithm.h"
#include "tensor/kernels/gemm/panels.h"

namespace cairn::kernels {

/// Whether the windows are 3x3 pixels side by side, one pixel apart.
template <class T>
bool is_3x3(const Windows<T>& x);

/// Weights as pack_weights() (gemm/panels.h) packs them, transformed: panel after panel, kinds x
/// kinds numbers x channels x width.
template <class T>
Scratch<T> transform_weights(ConvAlgorithm algorithm, const T* packed, int64_t channels,
                             const Panels& panels);

/// What correlate() does, for windows that are 3x3. For winograd_up they begin at tap[.][0] = -1,
/// rows and columns are those of the result, twice as many and one more. A NaN or infinity in the
/// image reaches all results of the tiles that see it (as NaN), not only those of the windows that
/// do.
template <class T>
void winograd(ConvAlgorithm algorithm, const Windows<T>& x, const T* transformed, int64_t outputs,
              const Pixels<T>& y);

/// What correlate_weights() does, for windows that are 3x3: the transpose of the above in w.
template <class T>
void winograd_weights(ConvAlgorithm algorithm, const Windows<T>& x, const T* dy, int64_t outputs,
                      T* dw, const TapMatrices& matrices);

}  // namespace cairn::kernels

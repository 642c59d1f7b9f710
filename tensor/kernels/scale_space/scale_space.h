// What a scale space is made of: blurring, extrema over space and scale, gradients.
#pragma once

#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace cairn::kernels {

/// One image, H x W f32, blurred along x and along y: y[i] = taps[0] x[i] + sum over k >= 1 of
/// taps[k] (x[i-k] + x[i+k]). Beyond the border the image is mirrored about its outermost pixels.
/// If `change` is not null, it becomes the blurred image less the image. On the CPU.
Tensor blur(const Tensor& image, std::span<const float> taps, Tensor* change = nullptr);

/// Pixels of `here`, `border` (at least 1) or more from each edge, whose value is above `threshold`
/// and not less than its 26 neighbours in three layers (H x W f32), or below -threshold and not
/// more: pixel numbers y * W + x, ascending. On the CPU.
std::vector<int64_t> extrema(const Tensor& below, const Tensor& here, const Tensor& above,
                             float threshold, int64_t border);

/// Of n pixels beginning at `here`, with the rows over and under them: the length of the gradient
/// (here[i+1] - here[i-1], over[i] - under[i]) and its direction in turns, in [0, 1], from x
/// upwards, to 2e-6. Reads here[-1] and here[n].
using GradientRow = void (*)(int64_t n, const float* over, const float* here, const float* under,
                             float* length, float* turns);
/// For the SIMD target in use.
GradientRow gradient_row();

namespace reference {
Tensor blur(const Tensor& image, std::span<const float> taps);
std::vector<int64_t> extrema(const Tensor& below, const Tensor& here, const Tensor& above,
                             float threshold, int64_t border);
void gradient_row(int64_t n, const float* over, const float* here, const float* under,
                  float* length, float* turns);
}  // namespace reference

}  // namespace cairn::kernels

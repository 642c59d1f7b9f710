// Drawing on RGB images: just what pictures of matches need.
#pragma once

#include <array>

#include "tensor/tensor.h"

namespace cairn {

using Color = std::array<uint8_t, 3>;

/// A filled disc with a soft edge on H x W x 3 u8. What lies outside the image is not drawn;
/// positions that are not finite draw nothing. The same holds for lines.
void draw_disc_(Tensor& image, double x, double y, double radius, Color color);
/// A straight line with soft edges and flat ends, `width` pixels across.
void draw_line_(Tensor& image, double x0, double y0, double x1, double y1, double width,
                Color color);

/// Two images, gray or RGB, next to each other with `gap` black columns between, on black, top
/// aligned: max(H) x (W0 + gap + W1) x 3. A point of the right one moves by W0 + gap.
Tensor side_by_side(const Tensor& left, const Tensor& right, int64_t gap = 0);
/// Every value times `factor` in [0, 1].
Tensor darken(const Tensor& image, double factor);
/// A colour for a place in a width x height image: neighbouring places look alike and distant ones
/// do not, also to those who do not tell red from green.
Color position_color(double x, double y, double width, double height);

}  // namespace cairn

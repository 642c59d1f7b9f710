// Short texts on images: a stroke font of our own, scalable and anti-aliased like all lines.
#pragma once

#include <string>

#include "data/draw.h"

namespace cairn {

/// How wide draw_text_ draws it, px.
double text_width(const std::string& text, double height);
/// Draws `text` with its capitals' top left corner at (x, y) and `height` px tall. Letters are
/// capitals; what the font does not have (beyond A-Z, 0-9 and . , : + - = / % ( )) is a gap.
void draw_text_(Tensor& image, const std::string& text, double x, double y, double height,
                Color color);

}  // namespace cairn

#include "ucn/picture.h"

#include <algorithm>

#include "data/draw.h"
#include "data/image.h"

namespace cairn::ucn {

MatchStyle match_style(const std::string& name) {
  if (name == "points") return MatchStyle::points;
  if (name == "lines") return MatchStyle::lines;
  throw Error(ErrorId::argument, "match", cat("no style '", name, "'; there is points, lines"));
}

Tensor draw_matches(const Tensor& image0, const Tensor& image1, const std::vector<Match>& matches,
                    MatchStyle style) {
  const int64_t gap = 4;
  Tensor picture = darken(side_by_side(image0, image1, gap), 0.6);
  const double shift = double(image0.dim(1) + gap);
  // Discs and lines keep their look whatever the size of the photos.
  const double unit = double(std::max(picture.dim(0), picture.dim(1))) / 1000;
  double lowest = 1, highest = -1;
  for (const Match& m : matches)
    if (m.kept) {
      lowest = std::min(lowest, m.score);
      highest = std::max(highest, m.score);
    }
  for (const Match& m : matches) {
    if (!m.kept) continue;
    if (style == MatchStyle::points) {
      const Color color = position_color(m.x0, m.y0, double(image0.dim(1)), double(image0.dim(0)));
      draw_disc_(picture, m.x0, m.y0, std::max(1.5, 2.5 * unit), color);
      draw_disc_(picture, m.x1 + shift, m.y1, std::max(1.5, 2.5 * unit), color);
    } else {
      const double good = highest > lowest ? (m.score - lowest) / (highest - lowest) : 1;
      const Color color = {uint8_t(255 * std::min(1.0, 2 - 2 * good)),
                           uint8_t(255 * std::min(1.0, 2 * good)), 40};
      draw_line_(picture, m.x0, m.y0, m.x1 + shift, m.y1, std::max(1.0, unit), color);
    }
  }
  return picture;
}

}  // namespace cairn::ucn

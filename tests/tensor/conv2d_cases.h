// Convolutions that are compared with the reference, on every device.
#pragma once

#include <vector>

#include "tensor/kernels/conv2d/conv2d.h"

namespace cairn {

using kernels::Conv2dGeometry;

struct Case {
  Shape x, w;
  Conv2dGeometry g;
  Shape y() const {
    return {x[0], g.output_extent(0, x[1], w[1]), g.output_extent(1, x[2], w[2]), w[0]};
  }
};

inline std::ostream& operator<<(std::ostream& out, const Case& c) {
  const auto& [s, p, d] = c.g;
  return out << c.x << " * " << c.w << " stride " << s[0] << "," << s[1] << " padding " << p[0]
             << "," << p[1] << " dilation " << d[0] << "," << d[1];
}

/// Geometries with few channels, and one geometry with channels around the widths of vectors.
inline std::vector<Case> cases() {
  std::vector<Case> all;
  for (int64_t stride : {1, 2, 3})
    for (int64_t padding : {0, 1, 2})
      for (int64_t dilation : {1, 2})
        for (const Shape& kernel : {Shape{1, 1}, {3, 3}, {1, 3}, {5, 2}})
          for (const Shape& image : {Shape{1, 1}, {7, 10}})
            all.push_back({{2, image[0], image[1], 3},
                           {5, kernel[0], kernel[1], 3},
                           {{stride, stride}, {padding, padding}, {dilation, dilation}}});
  const Conv2dGeometry same{{1, 1}, {1, 1}, {1, 1}};
  for (int64_t i : {1, 3, 8, 16, 17})
    for (int64_t o : {1, 2, 4, 7, 15, 16, 17, 31, 32, 33, 67})
      all.push_back({{1, 4, 9, i}, {o, 3, 3, i}, same});
  for (int64_t width : {13, 14, 15, 27, 28, 29, 31, 59})
    all.push_back({{1, 3, width, 4}, {6, 3, 3, 4}, same});
  all.push_back({{1, 6, 11, 5}, {4, 3, 2, 5}, {{1, 2}, {2, 0}, {2, 1}}});  // axes that differ
  all.push_back({{1, 11, 6, 5}, {4, 2, 3, 5}, {{3, 1}, {0, 2}, {1, 2}}});
  for (const Shape& kernel : {Shape{1, 1}, {2, 1}})  // rows apart, columns side by side
    all.push_back({{1, 5, 3, 4}, {3, kernel[0], kernel[1], 4}, {{2, 1}, {0, 0}, {1, 1}}});
  all.push_back({{1, 19, 14, 3}, {4, 6, 6, 3}, {{2, 2}, {0, 0}, {1, 1}}});  // phases of 3x3 taps
  all.push_back({{1, 3, 3, 2}, {3, 7, 7, 2}, {{1, 1}, {2, 2}, {1, 1}}});  // kernel beyond the image
  all.push_back({{1, 2, 2, 2}, {3, 5, 5, 2}, {{1, 1}, {0, 0}, {1, 1}}});  // and no result at all
  all.push_back({{0, 5, 5, 2}, {3, 3, 3, 2}, same});                      // an empty batch
  all.push_back({{2, 0, 0, 2}, {3, 3, 3, 2}, {{1, 1}, {2, 2}, {1, 1}}});  // only padding
  all.push_back({{1, 4, 4, 0}, {3, 3, 3, 0}, same});                      // no channels
  all.push_back({{1, 4, 4, 3}, {0, 3, 3, 3}, same});
  all.push_back({{2, 1, 1, 3}, {4, 1, 1, 3}, {{2, 2}, {0, 0}, {1, 1}}});
  all.push_back({{2, 70, 90, 20}, {18, 3, 3, 20}, same});  // several blocks
  all.push_back({{1, 5, 300, 67}, {9, 3, 3, 67}, {{1, 2}, {1, 1}, {1, 1}}});
  return all;
}

}  // namespace cairn

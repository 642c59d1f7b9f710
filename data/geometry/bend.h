// A smooth random bending of a view: what no homography does, but depth and cloth do.
#pragma once

#include <vector>

#include "data/geometry/homography.h"
#include "tensor/random.h"

namespace cairn {

/// A thin-plate spline (Bookstein, 1989) over the pixels of a view, with random weights at a grid
/// of 5 x 5 places. It shifts, turns and scales nothing as a whole. Kept at nodes 8 px apart,
/// bilinear between them, so that images and correspondences follow exactly the same map.
class Bend {
 public:
  Bend() = default;  ///< none: every place stays
  /// `strength`: the most by which a small part is stretched, sheared or turned (Frobenius norm of
  /// the displacement's Jacobian), from 0 and below 1, where nothing folds. Throws
  /// ErrorId::argument beyond.
  Bend(int64_t height, int64_t width, double strength, Random& random);

  bool straight() const { return shifts_.empty(); }
  /// Which place a place of the bent view shows, both in px of the view.
  Point operator()(double x, double y) const;
  /// The place of the bent view that shows a place; exact to 1e-10 px / (1 - strength).
  Point back(double x, double y) const;

 private:
  int64_t rows_ = 0, columns_ = 0;
  std::vector<Point> shifts_;  ///< of the nodes, row by row
};

}  // namespace cairn

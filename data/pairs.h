// What every source of training pairs yields.
#pragma once

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace cairn {

/// Two images and places in them that show the same point of the world.
struct Pair {
  Tensor image0, image1;  ///< H x W x C f32 in [-0.5, 0.5]: x / 255 - 0.5
  /// K x 2 f64: row k is (x, y) in image 0 and in image 1, exact between pixels, whose centres are
  /// whole numbers.
  Tensor positions0, positions1;
  /// Of each image, H x W u8: 1 where it is not known which pixel of the other shows the same, or
  /// that none does. Undefined: all is known.
  Tensor unknown0, unknown1;
  std::string name;  ///< what it was made from, for people
  /// Degrees between the lines of sight from both cameras (the median); NaN: there is but one.
  double angle = std::numeric_limits<double>::quiet_NaN();
};

/// A photo that could not be used, and why.
struct BrokenPhoto {
  std::string path, message;
};

class PairSource {
 public:
  virtual ~PairSource() = default;
  /// Number of different indices; at least 1.
  virtual int64_t size() const = 0;
  /// Pair `index` in [0, size()), varied by `random` alone: the same arguments give the same bits.
  /// Called from several threads at once.
  virtual Pair get(int64_t index, Random& random) const = 0;
  /// One line that says what the pairs are made from.
  virtual std::string description() const = 0;
  /// The photos found broken up to now, newest last (they are read when they are first needed).
  virtual std::vector<BrokenPhoto> broken() const { return {}; }
};

// For those that make pairs.

/// The upper median; NaN of none.
double median(std::vector<double> values);
/// A picture, H x W x C f32 in [0, 255], as an image of a Pair; in place.
Tensor network_input(Tensor picture);
/// Positions from (x0, y0, x1, y1): all or, if there are more than `most` > 0, so many, drawn.
void set_positions(Pair& pair, const std::vector<std::array<double, 4>>& matches, int64_t most,
                   Random& random);

}  // namespace cairn

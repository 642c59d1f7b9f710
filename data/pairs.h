// What every source of training pairs yields.
#pragma once

#include <string>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace cairn {

/// Two images and places in them that show the same point of the world.
struct Pair {
  Tensor image0, image1;  ///< H x W x C f32 in [-0.5, 0.5]: x / 255 - 0.5
  /// K x 2 f64: row k is (x, y) in image 0 and in image 1; pixel centres are whole numbers, and
  /// positions1 is exact between them.
  Tensor positions0, positions1;
  std::string name;  ///< what it was made from, for people
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
};

}  // namespace cairn

// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011). The same seed gives the same numbers on every device and thread count.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace cairn {

/// The block function: 128 bits of counter and 64 bits of key to 128 random bits.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A stream of random numbers. Streams of one seed are independent of each other; the whole state
/// is (seed, stream, position), so it can be stored and resumed.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t bits();   ///< 32 random bits
  double uniform();  ///< [0, 1), a multiple of 2^-24
  double uniform(double lo, double hi) { return lo + (hi - lo) * uniform(); }
  double normal();           ///< mean 0, variance 1 (Box-Muller)
  int64_t below(int64_t n);  ///< uniform in [0, n), without bias; n >= 1
  bool chance(double probability) { return uniform() < probability; }

  uint64_t seed() const { return seed_; }
  uint64_t stream() const { return stream_; }
  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }

 private:
  uint64_t seed_, stream_, position_ = 0;  // position counts 32-bit words
  uint64_t cached_block_ = ~uint64_t(0);
  std::array<uint32_t, 4> block_{};
};

/// Tensors of independent numbers; drawn in row-major order.
Tensor random_uniform(const Shape& shape, Random& random, double lo = 0, double hi = 1,
                      DType type = DType::f32);
Tensor random_normal(const Shape& shape, Random& random, double mean = 0, double deviation = 1,
                     DType type = DType::f32);

/// k distinct numbers of [0, n) in random order. O(k) time and memory. Throws if k > n.
std::vector<int64_t> sample_without_replacement(int64_t n, int64_t k, Random& random);

}  // namespace cairn

#include "tensor/random.h"

#include <cmath>
#include <numbers>
#include <unordered_map>

namespace cairn {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xD2511F53) * c[0], p1 = uint64_t(0xCD9E8D57) * c[2];
    c = {uint32_t(p1 >> 32) ^ c[1] ^ key[0], uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ key[1],
         uint32_t(p0)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return c;
}

uint32_t Random::bits() {
  const uint64_t block = position_ / 4;
  if (block != cached_block_) {
    block_ =
        philox({uint32_t(block), uint32_t(block >> 32), uint32_t(stream_), uint32_t(stream_ >> 32)},
               {uint32_t(seed_), uint32_t(seed_ >> 32)});
    cached_block_ = block;
  }
  return block_[position_++ % 4];
}

double Random::uniform() { return double(bits() >> 8) * 0x1p-24; }

double Random::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

int64_t Random::below(int64_t n) {
  require(n >= 1, ErrorId::argument, "random", "below(", n, ") has no value to give");
  const uint64_t range = uint64_t(n), limit = ~uint64_t(0) - (~uint64_t(0) % range + 1) % range;
  for (;;) {
    const uint64_t high = bits(), word = (high << 32) | bits();
    if (word <= limit) return int64_t(word % range);
  }
}

Tensor random_uniform(const Shape& shape, Random& random, double lo, double hi, DType type) {
  Tensor t = Tensor::empty(shape, type);
  dispatch_float(type, "random_uniform", [&]<class T>() {
    for (T& v : t.span<T>()) v = T(random.uniform(lo, hi));
  });
  return t;
}

Tensor random_normal(const Shape& shape, Random& random, double mean, double deviation,
                     DType type) {
  Tensor t = Tensor::empty(shape, type);
  dispatch_float(type, "random_normal", [&]<class T>() {
    for (T& v : t.span<T>()) v = T(mean + deviation * random.normal());
  });
  return t;
}

std::vector<int64_t> sample_without_replacement(int64_t n, int64_t k, Random& random) {
  require(k >= 0 && k <= n, ErrorId::argument, "sample", "cannot draw ", k, " distinct of ", n);
  // Fisher-Yates on a virtual array 0..n-1: only moved entries are stored.
  std::unordered_map<int64_t, int64_t> moved;
  moved.reserve(size_t(2 * k));
  const auto at = [&](int64_t i) {
    const auto it = moved.find(i);
    return it == moved.end() ? i : it->second;
  };
  std::vector<int64_t> drawn(static_cast<size_t>(k));
  for (int64_t i = 0; i < k; ++i) {
    const int64_t j = i + random.below(n - i);
    drawn[size_t(i)] = at(j);
    moved[j] = at(i);
  }
  return drawn;
}

}  // namespace cairn

#include "tensor/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/tensor/grid.h"

using namespace cairn;
using Block = std::array<uint32_t, 4>;

TEST_CASE("philox: the known answers of its authors") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
        Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

TEST_CASE("Random: seed, stream and position are the whole state") {
  Random a(7, 3), b(7, 3);
  for (int i = 0; i < 11; ++i) a.bits();
  b.seek(a.position());
  for (int i = 0; i < 9; ++i) CHECK(a.bits() == b.bits());
  CHECK(a.position() == 20);
}

TEST_CASE("Random: the first words are the block of position 0") {
  Random random(0);
  for (uint32_t word : philox({0, 0, 0, 0}, {0, 0})) CHECK(random.bits() == word);
  CHECK(random.bits() == philox({1, 0, 0, 0}, {0, 0})[0]);
}

TEST_CASE("Random: streams and seeds differ") {
  std::set<uint32_t> first;
  for (uint64_t seed : {0, 1, 2})
    for (uint64_t stream : {0, 1, 2}) first.insert(Random(seed, stream).bits());
  CHECK(first.size() == 9);
}

TEST_CASE("Random: uniform numbers fill [0, 1) evenly") {
  Random random(1);
  double sum = 0, low = 1, high = 0;
  for (int i = 0; i < 100000; ++i) {
    const double u = random.uniform();
    sum += u;
    low = std::min(low, u);
    high = std::max(high, u);
  }
  CHECK(low >= 0);
  CHECK(low < 1e-4);
  CHECK(high < 1);
  CHECK(high > 1 - 1e-4);
  CHECK(std::fabs(sum / 100000 - 0.5) < 0.005);
}

TEST_CASE("Random: normal numbers have the moments of a normal distribution") {
  Random random(2);
  double sum = 0, squares = 0, fourth = 0;
  const int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  CHECK(std::fabs(sum / n) < 0.01);
  CHECK(std::fabs(squares / n - 1) < 0.02);
  CHECK(std::fabs(fourth / n - 3) < 0.15);
}

TEST_CASE("Random: below reaches every value equally often") {
  Random random(3);
  std::array<int, 6> seen{};
  for (int i = 0; i < 60000; ++i) ++seen.at(size_t(random.below(6)));
  for (int count : seen) CHECK(std::abs(count - 10000) < 500);
  CHECK(random.below(1) == 0);
  CHECK(error_of([&] { random.below(0); }) == "random: below(0) has no value to give");
}

TEST_CASE("sample_without_replacement: distinct, complete, in random order") {
  Random random(4);
  auto all = sample_without_replacement(100, 100, random);
  CHECK(!std::ranges::is_sorted(all));
  std::ranges::sort(all);
  for (int64_t i = 0; i < 100; ++i) CHECK(all[size_t(i)] == i);
  const auto few = sample_without_replacement(int64_t(1) << 40, 1000, random);
  CHECK(std::set<int64_t>(few.begin(), few.end()).size() == 1000);
  CHECK(sample_without_replacement(5, 0, random).empty());
  CHECK_THROWS_AS(sample_without_replacement(5, 6, random), Error);
  std::array<int, 4> first{};
  for (int i = 0; i < 4000; ++i) ++first.at(size_t(sample_without_replacement(4, 2, random)[0]));
  for (int count : first) CHECK(std::abs(count - 1000) < 150);
}

TEST_CASE("random tensors are drawn in row-major order from the stream, which goes on after them") {
  for (int64_t n : {0, 1, 6, 4097, 20000}) {
    Random a(5), b(5);
    a.bits(), b.bits();
    const Tensor uniform = random_uniform({n}, a, -1, 1, DType::f64);
    const Tensor normal = random_normal({n}, a, 3, 0.5, DType::f64);
    for (double v : uniform.to_vector()) CHECK(v == b.uniform(-1, 1));
    for (double v : normal.to_vector()) CHECK(v == 3 + 0.5 * b.normal());
    CHECK(a.position() == b.position());
  }
}

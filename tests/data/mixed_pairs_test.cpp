// A mixture of sources draws them by their weights, the same for a seed.
#include "data/mixed_pairs.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/errors.h"

using namespace cairn;

namespace {

/// Says in each pair's name which index was asked for.
class Named : public PairSource {
 public:
  Named(std::string name, int64_t size) : name_(std::move(name)), size_(size) {}
  int64_t size() const override { return size_; }
  Pair get(int64_t index, Random&) const override {
    Pair pair;
    pair.name = cat(name_, index);
    return pair;
  }
  std::string description() const override { return "pairs of " + name_; }
  std::vector<BrokenPhoto> broken() const override { return {{name_, "it is broken"}}; }

 private:
  std::string name_;
  int64_t size_;
};

std::vector<MixedPairs::Part> parts(std::vector<std::pair<std::string, double>> named) {
  std::vector<MixedPairs::Part> all;
  for (const auto& [name, weight] : named)
    all.push_back({std::make_unique<Named>(name, 3), weight});
  return all;
}

}  // namespace

TEST_CASE("sources are drawn by weight, and all their indices") {
  const MixedPairs mixed(parts({{"a", 1}, {"b", 3}}));
  CHECK(mixed.size() == 6);
  std::map<std::string, int> count;
  for (uint64_t k = 0; k < 4000; ++k) {
    Random random(5, k), same(5, k);
    const std::string name = mixed.get(int64_t(k % 6), random).name;
    CHECK(name == mixed.get(int64_t(k % 6), same).name);
    ++count[name];
  }
  CHECK(count.size() == 6);
  for (const auto& [name, times] : count) {
    const double expected = name[0] == 'a' ? 4000.0 / 12 : 4000.0 / 4;
    CHECK(times == doctest::Approx(expected).epsilon(0.2));
  }
  CHECK(mixed.description() == "25 % pairs of a; 75 % pairs of b");
  CHECK(mixed.broken().size() == 2);
}

TEST_CASE("one source alone is as if it was not in a mixture") {
  const MixedPairs alone(parts({{"a", 0.5}}));
  Random random(1);
  for (int64_t i = 0; i < 3; ++i) CHECK(alone.get(i, random).name == cat("a", i));
  CHECK(alone.description() == "pairs of a");
}

TEST_CASE("a mixture of nothing, or of no weight, is refused") {
  CHECK(error_of([] { MixedPairs({}); }) == "mixed_pairs: there is no source");
  CHECK(error_of([] { MixedPairs(parts({{"a", 0}})); }) == "mixed_pairs: a weight is 0");
  const MixedPairs mixed(parts({{"a", 1}, {"b", 3}}));
  Random random(1);
  CHECK(error_of(ErrorId::index, [&] { mixed.get(6, random); }) != "");
}

// Pairs from several sources, drawn by weight.
#pragma once

#include <memory>
#include <vector>

#include "data/pairs.h"

namespace cairn {

class MixedPairs : public PairSource {
 public:
  struct Part {
    std::unique_ptr<PairSource> source;
    double weight;
  };
  /// At least one part; weights are positive. One part alone is as if it was not in a mixture.
  explicit MixedPairs(std::vector<Part> parts);

  /// The sum over the parts; but which of them a pair is from is drawn, by weight, and then its
  /// index.
  int64_t size() const override;
  Pair get(int64_t index, Random& random) const override;
  std::string description() const override;
  std::vector<BrokenPhoto> broken() const override;

 private:
  std::vector<Part> parts_;
  double total_ = 0;
};

}  // namespace cairn

#include "data/mixed_pairs.h"

#include <cmath>

namespace cairn {

MixedPairs::MixedPairs(std::vector<Part> parts) : parts_(std::move(parts)) {
  require(!parts_.empty(), ErrorId::argument, "mixed_pairs", "there is no source");
  for (const Part& part : parts_) {
    require(part.weight > 0 && std::isfinite(part.weight), ErrorId::argument, "mixed_pairs",
            "a weight is ", part.weight);
    total_ += part.weight;
  }
}

int64_t MixedPairs::size() const {
  int64_t sum = 0;
  for (const Part& part : parts_) sum += part.source->size();
  return sum;
}

Pair MixedPairs::get(int64_t index, Random& random) const {
  if (parts_.size() == 1) return parts_[0].source->get(index, random);
  require(index >= 0 && index < size(), ErrorId::index, "mixed_pairs", "no pair ", index, " among ",
          size());
  double at = random.uniform(0, total_);
  size_t k = 0;
  while (k + 1 < parts_.size() && at >= parts_[k].weight) at -= parts_[k++].weight;
  const PairSource& source = *parts_[k].source;
  return source.get(random.below(source.size()), random);
}

std::string MixedPairs::description() const {
  std::string text;
  for (const Part& part : parts_) {
    if (parts_.size() > 1) text += cat(text.empty() ? "" : "; ", 100 * part.weight / total_, " % ");
    text += part.source->description();
  }
  return text;
}

std::vector<BrokenPhoto> MixedPairs::broken() const {
  std::vector<BrokenPhoto> all;
  for (const Part& part : parts_)
    for (auto& photo : part.source->broken()) all.push_back(std::move(photo));
  return all;
}

}  // namespace cairn

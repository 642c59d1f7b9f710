// Trainings that take a moment.
#pragma once

#include <memory>

#include "tests/compare.h"
#include "tests/data/sample_files.h"
#include "tests/ucn/some_photos.h"
#include "ucn/trainer.h"

namespace cairn::test {

/// Settings for views of side x side pixels.
inline ucn::TrainOptions tiny(int64_t side = 32) {
  ucn::TrainOptions o;
  o.model.outputs = 8;
  o.crop = side;
  o.correspondences = 50;
  o.loss.num_pos = 20;
  o.loss.num_hn_samples = 64;
  o.iterations = 40;
  o.warmup = 0;
  return o;
}

/// Pairs for them, made from three small photos.
template <int64_t side = 32>
const PairSource& source() {
  struct Photos {
    Folder folder;
    std::unique_ptr<HomographyPairs> pairs;
    Photos() {
      write_photos(folder.path, 3);
      HomographyPairsOptions o;
      o.views.height = o.views.width = side;
      o.correspondences = 50;
      pairs = std::make_unique<HomographyPairs>(folder.path, o);
    }
  };
  static const Photos photos;
  return *photos.pairs;
}

/// Whether two trainers' networks are equal in every bit.
inline bool same(ucn::Trainer& a, ucn::Trainer& b) {
  const auto sa = a.network().state(), sb = b.network().state();
  for (size_t i = 0; i < sa.size(); ++i)
    if (!same_bits(sa[i].tensor.to(Device::cpu), sb[i].tensor.to(Device::cpu))) return false;
  return sa.size() == sb.size();
}

}  // namespace cairn::test

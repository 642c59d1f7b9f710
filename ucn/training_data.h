// From the settings of a run to the pairs that it is trained on.
#pragma once

#include <memory>

#include "data/pairs.h"
#include "ucn/train_options.h"

namespace cairn::ucn {

struct TrainingData {
  std::unique_ptr<PairSource> train;
  std::unique_ptr<PairSource> held_out;  ///< null where nothing is held out
};

/// Opens every source that the options name. What is held out is whole scenes: a reconstruction
/// with its photos, a folder of photos, or, where there is but one folder, a photo. Throws what the
/// sources throw, and ErrorId::usage when the settings contradict each other.
TrainingData open_training_data(const TrainOptions& options);

}  // namespace cairn::ucn

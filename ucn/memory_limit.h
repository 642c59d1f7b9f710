// How much memory a training step takes, and settings with which it takes less.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/pairs.h"
#include "ucn/train_options.h"

namespace cairn::ucn {

struct LayerMemory {
  std::string layer;
  int64_t kept = 0;  ///< bytes that the tape keeps for its operations, all passes together
  int64_t peak = 0;  ///< the most bytes in use at the end of one of its operations, either way
};
struct StepMemory {
  int64_t peak = 0;                 ///< bytes of all tensors of the training, at most
  std::vector<LayerMemory> layers;  ///< in the order of their first operation; "": outside of all
};

/// Measured by a training of two steps, which is thrown away. Decoded photos, which have a limit of
/// their own (limit_cache), do not count.
StepMemory memory_of_step(const TrainOptions& options, const PairSource& source, Device device);
/// A table of it.
std::string to_text(const StepMemory& memory);

/// The first settings with which a step takes at most `bytes`: as they are, with activations
/// recomputed, or with the batch split into passes that are added up (each is normalised by itself
/// then, and InfoNCE has negatives from it alone), with and without. Throws ErrorId::usage, saying
/// what would fit, when none does.
TrainOptions fit_memory(const TrainOptions& options, const PairSource& source, Device device,
                        int64_t bytes);

}  // namespace cairn::ucn

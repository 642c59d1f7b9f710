// Training: pairs in, weights out, nothing lost in between.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "nn/optim.h"
#include "tensor/upload.h"
#include "ucn/matcher.h"
#include "ucn/train_options.h"
#include "ucn/weights.h"

namespace cairn::ucn {

struct StepReport {
  int64_t iteration = 0;  ///< steps done, this one included
  double loss = 0, positive = 0, negative = 0;
  double lr = 0, grad_norm = 0;
  double data_seconds = 0, step_seconds = 0;  ///< waiting for pairs, and the whole step
};

/// Owns the network, the optimiser and the stream of pairs of one run. What a step computes is a
/// function of the options and its number alone: random draws come from counter-based streams, so a
/// resumed run continues bit for bit.
class Trainer {
 public:
  /// `source` must outlive the trainer. Everything that a step computes is computed on `device`.
  Trainer(const TrainOptions& options, const PairSource& source, Device device = Device::cpu);

  /// One optimiser step. On a GPU nothing in it waits for a result: the next step's pairs are
  /// fetched and sent while it runs, and what it reports is read at its end. A loss or gradient
  /// that is not finite throws ErrorId::nan, naming the op, the layer, the step and the seed; the
  /// parameters are then as before the step.
  StepReport step();
  int64_t iteration() const { return iteration_; }
  bool done() const { return iteration_ >= options_.iterations; }
  ResUNet& network() { return *network_; }

  /// How well the present features match a pair (training mode statistics are left alone).
  HitRatios evaluate(const Pair& pair);

  /// Writes a checkpoint over the older of the two in `folder`, then the weights. Each file is
  /// whole or not there.
  void save(const std::string& folder);

  struct Resumed {
    bool found = false;                ///< an intact checkpoint was there
    std::vector<std::string> damaged;  ///< one line for each that could not be used
  };
  /// Continues from the newest intact checkpoint in `folder`. Throws ErrorId::format when there are
  /// checkpoints, but none is intact, and ErrorId::usage when the run was made with other settings.
  Resumed resume(const std::string& folder);
  /// Replaces the random weights by those of a file (see read_weights()).
  void begin_with(const std::string& path);
  /// Takes up a training of Open-UCN's from what load_pth() gave: weights, momentum, and the step
  /// that its schedule has come to (2000 to an epoch). Throws ErrorId::weights.
  void take_up(const nn::TensorFile& pth, const std::string& origin);

 private:
  /// One pass of the network: images, and what the losses read of each pair; on the device.
  struct MicroBatch {
    Tensor images0, images1;
    std::vector<LossInputs> inputs;
  };
  struct Batch {
    int64_t step;
    std::vector<MicroBatch> passes;
  };
  Batch make_batch(int64_t step);
  void fetch_ahead();
  std::vector<LossTerms> accumulate(const Batch& batch);
  double learning_rate() const;
  int64_t pixels_searched(int64_t step) const;

  TrainOptions options_;
  std::unique_ptr<ResUNet> network_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  const PairSource& source_;
  Device device_;
  std::unique_ptr<Loader> loader_;
  Uploader upload_;
  std::optional<Batch> next_;      // made ahead,
  std::exception_ptr next_error_;  // or why it could not be
  std::string data_;               // what the source says of itself, for the weights' metadata
  int64_t iteration_ = 0;
  int next_slot_ = 0;  // which of the two checkpoints is written next
};

/// True if the folder holds a checkpoint, intact or not.
bool has_checkpoint(const std::string& folder);

}  // namespace cairn::ucn

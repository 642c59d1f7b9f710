// Training: pairs in, weights out, nothing lost in between.
#pragma once

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <span>
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
  int64_t positives = 0;                      ///< correspondences in all pairs of the step
  double data_seconds = 0, step_seconds = 0;  ///< waiting for pairs, and the whole step
};

/// Hit ratios, with a score head of the quarter of the positions that it trusts most.
struct Evaluation : HitRatios {
  /// How alike all features of an image are: the length of their mean, 1 when they are the same.
  double alike = 0;
};

/// Owns the network, the optimiser and the stream of pairs of one run. With loss = score the
/// network gets a score head, which alone is trained, on features as matching sees them. With loss
/// = distill the network learns the features of options.teacher, whose layers it begins with where
/// names and shapes are the same. What a step computes is a function of the options and its number
/// alone: random draws come from counter-based streams, so a resumed run continues bit for bit.
class Trainer {
 public:
  /// `source` must outlive the trainer. Everything that a step computes is computed on `device`.
  /// Throws ErrorId::usage for a teacher with other inputs or outputs, and as load_weights().
  Trainer(const TrainOptions& options, const PairSource& source, Device device = Device::cpu);

  /// One optimiser step. On a GPU nothing in it waits for a result: the next step's pairs are
  /// fetched and sent while it runs, and what it reports is read at its end. A loss or gradient
  /// that is not finite throws ErrorId::nan, naming the op, the layer, the step and the seed; the
  /// parameters are then as before the step.
  StepReport step();
  int64_t iteration() const { return iteration_; }
  bool done() const { return iteration_ >= options_.iterations; }
  ResUNet& network() { return *network_; }

  /// How well the present features match pairs, the mean over them, with the averaged weights if
  /// there are such (training mode statistics are left alone).
  Evaluation evaluate(std::span<const Pair> pairs);

  /// Writes a checkpoint over the older of the two in `folder`, then the weights (the averaged ones
  /// if there are such). Each file is whole or not there.
  void save(const std::string& folder);
  /// If its hit ratio is the best up to now, writes the weights as best.safetensors.
  void keep_best(const std::string& folder, const HitRatios& validation);
  /// The best hit ratio of any validation; negative before the first.
  double best_hit_ratio() const { return best_hit_ratio_; }

  struct Resumed {
    bool found = false;                ///< an intact checkpoint was there
    std::vector<std::string> damaged;  ///< one line for each that could not be used
  };
  /// Continues from the newest intact checkpoint in `folder`. Throws ErrorId::format when there are
  /// checkpoints, but none is intact, and ErrorId::usage when the run was made with other settings.
  Resumed resume(const std::string& folder);
  /// Replaces the random weights by what read_weights() gave.
  void begin_with(const nn::TensorFile& weights, const std::string& origin);
  /// Takes up a training of Open-UCN's from what load_pth() gave: weights, momentum, and the step
  /// that its schedule has come to (train_max_iter to an epoch). Throws ErrorId::weights.
  void take_up(const nn::TensorFile& pth, const std::string& origin);

 private:
  /// One pass of the network: images, and what the losses read of each pair; on the device.
  struct MicroBatch {
    Tensor images0, images1;
    std::vector<LossInputs> inputs;
  };
  struct Batch {
    int64_t step, positives;
    std::vector<MicroBatch> passes;
  };
  Batch make_batch(int64_t step);
  void fetch_ahead();
  LossTerms loss_of(const MicroBatch& pass);
  std::array<Tensor, 2> watched_positions(const Tensor& features0, const Pair& pair) const;
  std::vector<LossTerms> accumulate(const Batch& batch);
  std::vector<nn::NamedTensor> averageable() const;
  void restart_average();
  void take_teacher();
  void average();
  /// While it lives, the network has the averaged state, if there is one.
  struct Averaged {
    explicit Averaged(Trainer& t) : trainer(t) { trainer.swap_averaged(); }
    ~Averaged() { trainer.swap_averaged(); }
    Trainer& trainer;
  };
  void swap_averaged();
  void save_network(const std::string& path, const Metadata& more);
  double learning_rate() const;
  int64_t pixels_searched(int64_t step) const;

  TrainOptions options_;
  std::unique_ptr<ResUNet> network_, teacher_;  // no teacher without distillation
  std::string teacher_checksum_;
  std::vector<nn::NamedParameter> trained_;  // the network's, or its score head's alone
  std::unique_ptr<nn::Optimizer> optimizer_;
  /// Exponential moving averages of the network's floating-point state; empty without --ema.
  std::vector<nn::NamedTensor> averaged_;
  double best_hit_ratio_ = -1;
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

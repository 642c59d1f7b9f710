// What a training does around its steps: it watches, validates, logs and saves.
#pragma once

#include <functional>
#include <string>

#include "ucn/trainer.h"
#include "ucn/training_data.h"

namespace cairn::ucn {

/// Reports of steps, added up.
class StepMeans {
 public:
  void add(const StepReport& r);
  int64_t count() const { return count_; }
  /// Means over the steps; iteration and lr are the last step's, positives the sum.
  StepReport mean() const;

 private:
  StepReport sum_, last_;
  int64_t count_ = 0;
};

/// What happens is told to these; each may be empty.
struct TrainingEvents {
  std::function<void(const StepReport&)> step;
  /// Every log_every steps: means since the last time, and how two pairs match that are watched.
  std::function<void(const StepReport& means, const Evaluation& watched)> line;
  /// On what is held out, and whether it is the best up to now.
  std::function<void(const HitRatios& held_out, bool best)> validated;
  /// A log, a picture or a checkpoint that could not be written: true goes on without it; else, or
  /// when empty, the error is thrown.
  std::function<bool(const Error&)> not_written;
  /// Whether to end after this step.
  std::function<bool()> stop;
};

/// Steps until the trainer is done or told to stop, with everything that `options` want in between,
/// and saves. `folder`: of the run. `data`: what the trainer is trained on.
void run_training(const TrainOptions& options, Trainer& trainer, const TrainingData& data,
                  const std::string& folder, const TrainingEvents& events);

}  // namespace cairn::ucn

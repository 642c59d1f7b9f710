#include "ucn/training_run.h"

#include <chrono>

#include "ucn/run_log.h"

namespace cairn::ucn {
namespace {

/// Seconds since 1970.
double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The same few pairs for the whole run, which are never trained on.
std::vector<Pair> some(const PairSource& from, int64_t count, uint64_t seed) {
  std::vector<Pair> pairs;
  for (uint64_t k = 0; k < uint64_t(count); ++k) {
    Random random(seed, ~k);
    pairs.push_back(from.get(random.below(from.size()), random));
  }
  return pairs;
}

}  // namespace

void StepMeans::add(const StepReport& r) {
  ++count_;
  sum_.loss += r.loss;
  sum_.positive += r.positive;
  sum_.negative += r.negative;
  sum_.grad_norm += r.grad_norm;
  sum_.data_seconds += r.data_seconds;
  sum_.step_seconds += r.step_seconds;
  sum_.positives += r.positives;
  last_ = r;
}

StepReport StepMeans::mean() const {
  StepReport m = sum_;
  for (double* v :
       {&m.loss, &m.positive, &m.negative, &m.grad_norm, &m.data_seconds, &m.step_seconds})
    *v /= double(count_);
  m.iteration = last_.iteration;
  m.lr = last_.lr;
  return m;
}

void run_training(const TrainOptions& o, Trainer& trainer, const TrainingData& data,
                  const std::string& folder, const TrainingEvents& events) {
  RunLog log(folder, trainer.iteration());
  const PairSource* held_out = data.held_out.get();
  const auto watched = some(held_out ? *held_out : *data.train, 2, o.seed);
  const auto validated = held_out ? some(*held_out, o.val_max_iter, o.seed) : std::vector<Pair>();
  StepMeans means;
  const auto write_line = [&] {
    const Evaluation hits = trainer.evaluate(watched);
    const StepReport m = std::exchange(means, {}).mean();
    if (events.line) events.line(m, hits);
    log.write(m.iteration, {{"time", now()},
                            {"loss", m.loss},
                            {"positive", m.positive},
                            {"negative", m.negative},
                            {"lr", m.lr},
                            {"grad_norm", m.grad_norm},
                            {"hit_ratio", hits.hit},
                            {"reciprocity_ratio", hits.reciprocity},
                            {"reciprocity_hit_ratio", hits.reciprocity_hit},
                            {"alike", hits.alike},
                            {"data_seconds", m.data_seconds},
                            {"step_seconds", m.step_seconds}});
  };
  const auto validate = [&] {
    if (!validated.empty()) {
      const HitRatios h = trainer.evaluate(validated);
      log.write(trainer.iteration(), {{"time", now()},
                                      {"val_hit_ratio", h.hit},
                                      {"val_reciprocity_ratio", h.reciprocity},
                                      {"val_reciprocity_hit_ratio", h.reciprocity_hit}});
      if (events.validated) events.validated(h, h.hit > trainer.best_hit_ratio());
      trainer.keep_best(folder, h);
    }
    log.draw();
  };
  const auto kept = [&](const std::function<void()>& write) {
    try {
      write();
    } catch (const Error& e) {
      if (e.id() != ErrorId::io || !events.not_written || !events.not_written(e)) throw;
    }
  };
  while (!trainer.done() && !(events.stop && events.stop())) {
    const StepReport r = trainer.step();
    means.add(r);
    if (events.step) events.step(r);
    if (r.iteration % o.log_every == 0 || trainer.done()) kept(write_line);
    if (r.iteration % o.val_every == 0 || trainer.done()) kept(validate);
    if (r.iteration % o.checkpoint_every == 0 && !trainer.done())
      kept([&] { trainer.save(folder); });
  }
  trainer.save(folder);
}

}  // namespace cairn::ucn

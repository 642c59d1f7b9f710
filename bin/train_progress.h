// What a training says while it runs.
#pragma once

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <set>
#include <string>

#include "bin/program.h"
#include "ucn/training_run.h"

namespace cairn::ucn {

inline std::string duration(double seconds) {
  const auto s = int64_t(std::lround(seconds));
  char text[32];
  std::snprintf(text, sizeof text, s < 3600 ? "%lld:%02lld" : "%lldh%02lld",
                static_cast<long long>(s < 3600 ? s / 60 : s / 3600),
                static_cast<long long>(s < 3600 ? s % 60 : s / 60 % 60));
  return text;
}

/// Means since the last line, and how they are shown.
class Progress {
 public:
  explicit Progress(const TrainOptions& o) : o_(o) {}

  void add(const StepReport& r) {
    means_.add(r);
    seconds_ += r.step_seconds;
    show(false);
  }
  /// What is shown at each line of the log.
  void line(const StepReport& m, const Evaluation& hits) {
    hits_ = hits;
    show(true);
    (lines_++ ? now_ : first_) = {m.loss, hits.hit};
    warn(hits.alike > 0.97, "all features are alike",
         "a longer --mining-warmup, --loss infonce or a smaller --lr helps");
    warn(m.positives == 0, "no pair has a correspondence", "try a larger --crop");
    warn(m.grad_norm == 0, "nothing is learnt: every gradient is 0",
         "are --pos-thresh and --neg-thresh reached already?");
    means_ = {};
  }
  /// Seconds of all steps.
  double seconds() const { return seconds_; }
  /// What became of the loss since the first line.
  void summarize() const {
    if (lines_ > 1)
      std::printf("The loss went from %.3f to %.3f, the hit ratio from %.3f to %.3f.\n",
                  first_.loss, now_.loss, first_.hit, now_.hit);
  }

 private:
  /// The means since the last line, on a terminal again and again, else once a line.
  void show(bool whole_line) {
    static const bool terminal = isatty(STDOUT_FILENO);
    if (!terminal && !whole_line) return;
    const StepReport m = means_.mean();
    const double left = m.step_seconds * double(o_.iterations - m.iteration);
    std::printf(
        "%s%6lld/%lld  loss %.4f (pos %.4f neg %.4f)  hit %.3f  lr %.2e  %.3f s/step "
        "(data %.0f%%)  left %s%s",
        terminal ? "\r" : "", static_cast<long long>(m.iteration),
        static_cast<long long>(o_.iterations), m.loss, m.positive, m.negative, hits_.hit, m.lr,
        m.step_seconds, 100 * m.data_seconds / std::max(1e-9, m.step_seconds),
        duration(left).c_str(), whole_line ? "   \n" : "   ");
    std::fflush(stdout);
  }
  /// What is wrong and what to try, once.
  void warn(bool wrong, const char* what, const char* try_this) {
    if (!wrong || !warned_.insert(what).second) return;
    cairn::warn(cat("step ", means_.mean().iteration, ": ", what, "; ", try_this));
  }

  std::set<std::string> warned_;
  const TrainOptions& o_;
  StepMeans means_;
  HitRatios hits_;
  int64_t lines_ = 0;
  double seconds_ = 0;
  struct Line {
    double loss, hit;
  } first_{}, now_{};
};

}  // namespace cairn::ucn

// What a training says while it runs.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <set>
#include <string>
#include <utility>

#include "ucn/run_log.h"
#include "ucn/trainer.h"

namespace cairn::ucn {

inline std::string duration(double seconds) {
  const auto s = int64_t(std::lround(seconds));
  char text[32];
  std::snprintf(text, sizeof text, s < 3600 ? "%lld:%02lld" : "%lldh%02lld",
                static_cast<long long>(s < 3600 ? s / 60 : s / 3600),
                static_cast<long long>(s < 3600 ? s % 60 : s / 60 % 60));
  return text;
}

/// Seconds since 1970.
inline double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Means since the last line, and how they are shown.
class Progress {
 public:
  explicit Progress(const TrainOptions& o) : o_(o) {}

  void add(const StepReport& r) {
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
  /// Writes a log line and starts anew.
  void flush(RunLog& log, const Evaluation& hits) {
    hits_ = hits;
    show(true);
    const StepReport sum = std::exchange(sum_, {});
    const double n = double(std::exchange(count_, 0));
    (lines_++ ? now_ : first_) = {sum.loss / n, hits.hit};
    seconds_ += sum.step_seconds;
    warn(hits.alike > 0.97, "all features are alike",
         "a longer --mining-warmup, --loss infonce or a smaller --lr helps");
    warn(sum.positives == 0, "no pair has a correspondence", "try a larger --crop");
    warn(sum.grad_norm == 0, "nothing is learnt: every gradient is 0",
         "are --pos-thresh and --neg-thresh reached already?");
    log.write(last_.iteration, {{"time", now()},
                                {"loss", sum.loss / n},
                                {"positive", sum.positive / n},
                                {"negative", sum.negative / n},
                                {"lr", last_.lr},
                                {"grad_norm", sum.grad_norm / n},
                                {"hit_ratio", hits.hit},
                                {"reciprocity_ratio", hits.reciprocity},
                                {"reciprocity_hit_ratio", hits.reciprocity_hit},
                                {"alike", hits.alike},
                                {"data_seconds", sum.data_seconds / n},
                                {"step_seconds", sum.step_seconds / n}});
  }
  /// Seconds of all steps.
  double seconds() const { return seconds_; }
  /// What became of the loss since the first line.
  void summarize() const {
    if (lines_ > 1)
      std::printf("The loss went from %.3f to %.3f, the hit ratio from %.3f to %.3f.\n",
                  first_.loss, now_.loss, first_.hit, now_.hit);
  }
  void show(bool whole_line) {
    const bool terminal = isatty(STDOUT_FILENO);
    if (count_ == 0 || (!terminal && !whole_line)) return;
    const double n = double(count_);
    const double left = sum_.step_seconds / n * double(o_.iterations - last_.iteration);
    std::printf(
        "%s%6lld/%lld  loss %.4f (pos %.4f neg %.4f)  hit %.3f  lr %.2e  %.3f s/step "
        "(data %.0f%%)  left %s%s",
        terminal ? "\r" : "", static_cast<long long>(last_.iteration),
        static_cast<long long>(o_.iterations), sum_.loss / n, sum_.positive / n, sum_.negative / n,
        hits_.hit, last_.lr, sum_.step_seconds / n,
        100 * sum_.data_seconds / std::max(1e-9, sum_.step_seconds), duration(left).c_str(),
        whole_line ? "   \n" : "   ");
    std::fflush(stdout);
  }

 private:
  /// What is wrong and what to try, once.
  void warn(bool wrong, const char* what, const char* try_this) {
    if (!wrong || !warned_.insert(what).second) return;
    std::fprintf(stderr, "train: step %lld: %s; %s\n", static_cast<long long>(last_.iteration),
                 what, try_this);
  }

  std::set<std::string> warned_;
  const TrainOptions& o_;
  StepReport sum_, last_;
  HitRatios hits_;
  int64_t count_ = 0, lines_ = 0;
  double seconds_ = 0;
  struct Line {
    double loss, hit;
  } first_{}, now_{};
};

}  // namespace cairn::ucn

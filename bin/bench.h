// Measuring: one row for each thing that is run.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "bin/program.h"
#include "ucn/photo.h"
#include "ucn/trainer.h"

namespace cairn {

struct Row {
  std::string name, precision, mode;
  double seconds = 0;           // median of one run; 0: it failed, and note says why
  double gflop = 0, gbyte = 0;  // of one run; 0: not meant
  int64_t peak_bytes = 0;       // of the GPU
  std::string note;
};

/// Runs what is asked for, prints a row for each, and keeps them.
class Bench {
 public:
  Bench(Device device, std::string only, int repeat)
      : device_(device), only_(std::move(only)), repeat_(repeat) {
    std::printf("%-46s %-5s %-9s %10s %10s %8s%s\n", "", "", "", "median", "GFLOP/s", "GB/s",
                gpu() ? "  of limit     peak" : "");
  }
  bool gpu() const { return device_ == Device::cuda; }
  bool wanted(const std::string& name) const { return name.find(only_) != std::string::npos; }

  /// The median of `repeat` measurements, after one that is not counted; on a GPU a measurement is
  /// the mean of `burst` runs, so that short ones are not measured by the time they take to start.
  template <class F>
  void operator()(const std::string& name, double gflop, double gbyte, F&& run,
                  const std::string& precision = "fp32", const std::string& mode = "eager",
                  int burst = 10) {
    if (!wanted(name)) return;
    Row row{name, precision, mode, 0, gflop, gbyte, 0, ""};
    if (gpu()) {  // a block kept from a larger row would count whole
      cuda::synchronize();
      empty_cache(device_);
      reset_peak_memory(device_);
    }
    try {
      row.seconds = measure(run, gpu() ? burst : 1);
      if (gpu()) row.peak_bytes = memory_stats(device_).peak;
    } catch (const Error& e) {
      if (e.id() != ErrorId::memory) throw;
      row.note = e.what();
    }
    print(row);
    rows_.push_back(std::move(row));
  }
  /// What the machine reaches at most, by the row `name`: in bytes or, with a precision, in
  /// products.
  void set_limit(const std::string& name, const std::string& precision = "") {
    const auto found = std::ranges::find_if(rows_, [&](const Row& row) {
      return row.name == name && row.precision == (precision.empty() ? "fp32" : precision);
    });
    if (found == rows_.end() || found->seconds == 0) return;
    const Row& r = *found;
    (precision.empty() ? most_gbyte_ : most_gflop_[precision]) =
        (precision.empty() ? r.gbyte : r.gflop) / r.seconds;
  }
  const std::vector<Row>& rows() const { return rows_; }

 private:
  template <class F>
  double measure(F&& run, int burst) {
    std::vector<double> times;
    for (int i = 0; i <= repeat_; ++i) {
      const auto start = std::chrono::steady_clock::now();
      for (int k = 0; k < (i ? burst : 1); ++k) run();
      if (gpu()) cuda::synchronize();
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      if (i > 0) times.push_back(time.count() / burst);
    }
    std::ranges::sort(times);
    return times[times.size() / 2];
  }
  void print(const Row& r) const {
    std::printf("%-46s %-5s %-9s", r.name.c_str(), r.precision.c_str(), r.mode.c_str());
    if (r.seconds == 0) {
      std::printf("  %s\n", r.note.c_str());
      return;
    }
    const auto rate = [](const char* format, int width, double value) {
      if (value > 0)
        std::printf(format, value);
      else
        std::printf("%*s", width, "");
    };
    std::printf(" %7.3f ms", 1e3 * r.seconds);
    rate(" %10.1f", 11, r.gflop / r.seconds);
    rate(" %8.1f", 9, r.gbyte / r.seconds);
    if (gpu()) {
      const auto most = most_gflop_.find(r.precision);
      const double compute = most == most_gflop_.end() ? 0 : r.gflop / r.seconds / most->second;
      const double memory = most_gbyte_ > 0 ? r.gbyte / r.seconds / most_gbyte_ : 0;
      rate("  %6.0f %%", 10, 100 * std::max(compute, memory));
      std::printf(" %5.0f MB", double(r.peak_bytes) / 1e6);
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  Device device_;
  std::string only_;
  int repeat_;
  std::vector<Row> rows_;
  double most_gbyte_ = 0;
  std::map<std::string, double> most_gflop_;
};

/// Values in [-0.5, 0.5) without the cost of good random numbers.
inline Tensor noise(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  uint32_t state = 1;
  for (float& v : t.span<float>()) {
    state = state * 1664525 + 1013904223;  // Numerical Recipes' linear congruence
    v = float(state >> 8) * 0x1p-24f - 0.5f;
  }
  return t;
}

/// Of the network's convolutions, two for a multiply-add.
inline double forward_gflop(const ucn::ResUNetConfig& config, int64_t h, int64_t w) {
  Random random(0);
  ucn::ResUNet network(config, random);
  double gflop = 0;
  for (const nn::PlanRow& row : nn::Plan(network, {1, h, w, config.inputs}).rows())
    gflop += row.gflop;
  return gflop;
}

/// The same two views at every step, so that only the step is measured.
class OnePair : public PairSource {
 public:
  OnePair(int64_t height, int64_t width) {
    const int64_t k = 2048;
    Random random(2);
    Tensor at = Tensor::empty({k, 2}, DType::f64);
    for (int64_t i = 0; i < k; ++i) {
      at.data<double>()[2 * i] = random.uniform(0, double(width - 1));
      at.data<double>()[2 * i + 1] = random.uniform(0, double(height - 1));
    }
    pair_ = {noise({height, width, 1}), noise({height, width, 1}), at, at, {}, {}, "noise"};
  }
  int64_t size() const override { return 1; }
  Pair get(int64_t, Random&) const override { return pair_; }
  std::string description() const override { return "noise"; }

 private:
  Pair pair_;
};

}  // namespace cairn

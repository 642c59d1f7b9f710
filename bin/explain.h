// What a run did and when, for people (--explain) and for a timeline viewer (--trace).
#pragma once

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/plan.h"
#include "tensor/file.h"
#include "tensor/kernels/limits/limits.h"
#include "tensor/parallel.h"
#include "tensor/simd.h"

namespace cairn {

/// One line per operation of a plan that has run: GFLOP as if computed directly (a share above
/// 100 % is what Winograd saves), bytes read and written, share of what the machine can do at most.
inline void print_plan(const nn::Plan& plan) {
  const kernels::MachineLimits limits = kernels::measure_limits();
  std::printf("%-22s %-28s %-11s %-15s %5s %8s %8s %9s %7s\n", "layer", "operation", "algorithm",
              "result", "strip", "GFLOP", "MB", "ms", "limit");
  nn::PlanRow sum;
  const auto line = [&](const nn::PlanRow& r, const std::string& result) {
    const double share = std::max(r.gflop / limits.gflops, 1e-3 * r.mbytes / limits.gbytes_per_s);
    std::printf("%-22s %-28s %-11s %-15s %5s %8.2f %8.1f %9.2f %5.0f %%\n", r.layer.c_str(),
                r.op.c_str(), r.algorithm.c_str(), result.c_str(),
                r.strip < 0 ? "" : std::to_string(r.strip).c_str(), r.gflop, r.mbytes,
                1e3 * r.seconds, r.seconds > 0 ? 100 * share / r.seconds : 0);
  };
  for (const nn::PlanRow& r : plan.rows()) {
    line(r, cat(r.result));
    sum.gflop += r.gflop;
    sum.mbytes += r.mbytes;
    sum.seconds += r.seconds;
  }
  sum.layer = "total";
  line(sum, "");
  std::printf(
      "rows of one strip run together, some rows of the image at a time\n"
      "memory: %.0f MB between operations, %.0f MB of packed weights\n"
      "limit: %.0f GFLOP/s of multiply-adds or %.0f GB/s of copies (%s, %d threads)\n",
      1e-6 * double(plan.arena_bytes()), 1e-6 * double(plan.weight_bytes()), limits.gflops,
      limits.gbytes_per_s, simd_target().c_str(), num_threads());
}

/// Events in Chrome's trace format (chrome://tracing, https://ui.perfetto.dev).
class Trace {
 public:
  using Clock = std::chrono::steady_clock;

  void add(const std::string& name, int thread, Clock::time_point begin, Clock::time_point end,
           nlohmann::json details = nlohmann::json::object()) {
    const auto us = [](auto d) { return std::chrono::duration<double, std::micro>(d).count(); };
    events_.push_back({{"name", name},
                       {"ph", "X"},
                       {"pid", 1},
                       {"tid", thread},
                       {"ts", us(begin - start_)},
                       {"dur", us(end - begin)},
                       {"args", std::move(details)}});
  }
  /// What the last run of a plan noted, below the stages.
  void add(const nn::Plan& plan) {
    for (const nn::PlanEvent& e : plan.events()) {
      const nn::PlanRow& r = plan.rows()[size_t(e.row)];
      add(r.layer.empty() ? r.op : r.layer, 1, e.begin, e.end,
          {{"operation", r.op}, {"algorithm", r.algorithm}, {"result", cat(r.result)}});
    }
  }
  void write(const std::string& path) const {
    const nlohmann::json all = {{"traceEvents", events_}, {"displayTimeUnit", "ms"}};
    write_file_atomically(path, all.dump() + "\n", "trace");
  }

 private:
  Clock::time_point start_ = Clock::now();
  nlohmann::json events_ = nlohmann::json::array();
};

}  // namespace cairn

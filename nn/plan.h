// A network in evaluation mode at one image shape, laid out ahead: what is computed in which order,
// by which algorithm, and where everything lies in memory.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "nn/module.h"

namespace cairn::nn {

/// One operation of a plan. Norms are in the convolutions before them, joins and crops in the
/// places that convolutions read from.
struct PlanRow {
  std::string layer, op;  ///< "conv2d + residual + relu"
  std::string algorithm;  ///< of a convolution: "direct", "winograd4", ...
  Shape result;
  int strip = -1;  ///< rows with one number are run in strips: all of them on a few rows at a time
  double gflop = 0;    ///< two per multiply-add of the direct algorithm
  double mbytes = 0;   ///< read and written, weights included
  double seconds = 0;  ///< in the last run
};

/// When a row, or a strip of it, was computed, for a timeline.
struct PlanEvent {
  int row;
  std::chrono::steady_clock::time_point begin, end;
};

/// Runs on the CPU, in float32. Values too large for the caches are not stored where all that reads
/// them comes next: such operations are run in strips, a few rows of the first, then of the second,
/// and so on, so that the rows are still in the cache. What is stored shares one block of memory,
/// by lifetime.
class Plan {
 public:
  /// `network` maps N x H x W x C to images; it is put into evaluation mode and must not change
  /// (a plan holds its weights, packed, and refers to its norms). Not for two threads at once.
  /// Throws ErrorId::graph for an operation that plans do not know, and what the network throws for
  /// a wrong shape.
  Plan(Module& network, const Shape& input);
  ~Plan();
  Plan(Plan&&) noexcept;
  Plan& operator=(Plan&&) noexcept;

  /// The network's result for an input of the plan's shape, up to rounding.
  Tensor operator()(const Tensor& x);

  const std::vector<PlanRow>& rows() const;
  /// Of the last run, if it was asked for before.
  const std::vector<PlanEvent>& events() const;
  void record_events(bool on);
  int64_t arena_bytes() const;  ///< what is stored at once, input and result aside
  int64_t weight_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::nn

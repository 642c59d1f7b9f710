#include "ucn/memory_limit.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <sstream>

#include "autograd/var.h"
#include "ucn/trainer.h"

namespace cairn::ucn {
namespace {

constexpr double mb = 1e6;

}  // namespace

StepMemory memory_of_step(const TrainOptions& options, const PairSource& source, Device device) {
  TrainOptions o = options;
  o.iterations = std::max<int64_t>(o.iterations, 2);
  o.mining_warmup = 0;  // as it will be later
  o.loader_threads = 0;
  {  // the photos of both steps, so that they are not counted
    Loader loader(source, o.seed, 0, 0);
    for (int64_t k = 0; k < 2 * o.batch * o.iter_size; ++k) loader.next();
  }
  const int64_t before = memory_stats(device).live;
  Trainer trainer(o, source, device);
  trainer.step();  // makes what the optimiser keeps
  StepMemory memory;
  std::map<std::string, size_t> rows;
  const OpObserver others = set_op_observer([&](const OpEvent& e) {
    const auto [row, added] = rows.emplace(e.layer, memory.layers.size());
    if (added) memory.layers.push_back({std::string(e.layer)});
    LayerMemory& layer = memory.layers[row->second];
    layer.kept += e.backward ? 0 : e.saved_bytes;
    layer.peak = std::max(layer.peak, memory_stats(device).live - before);
  });
  reset_peak_memory(device);
  try {
    trainer.step();
  } catch (...) {
    set_op_observer(others);
    throw;
  }
  set_op_observer(others);
  memory.peak = memory_stats(device).peak - before;
  return memory;
}

std::string to_text(const StepMemory& memory) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2);
  const auto row = [&](const std::string& layer, const auto& kept, const auto& peak) {
    out << std::left << std::setw(24) << layer << std::right << std::setw(12) << kept
        << std::setw(12) << peak << '\n';
  };
  row("layer", "kept, MB", "in use, MB");
  for (const LayerMemory& l : memory.layers)
    row(l.layer.empty() ? "(loss)" : l.layer, double(l.kept) / mb, double(l.peak) / mb);
  row("whole step, at most", "", double(memory.peak) / mb);
  return std::move(out).str();
}

TrainOptions fit_memory(const TrainOptions& options, const PairSource& source, Device device,
                        int64_t bytes) {
  int64_t least = 0;
  for (int64_t parts = 1; parts <= options.batch; ++parts) {
    if (options.batch % parts != 0) continue;
    for (const bool recompute : {options.recompute, true}) {
      if (recompute && options.precision == "bf16") continue;
      TrainOptions o = options;
      o.batch /= parts;
      o.iter_size *= parts;
      o.recompute = recompute;
      least = memory_of_step(o, source, device).peak;
      if (least <= bytes) return o;
      if (options.recompute) break;
    }
  }
  // What does not depend on the crop: weights, gradients, two moments and, for those layers that
  // are at work, packed weights and partial sums (as measured, half as much again).
  TrainOptions one = options;
  one.batch = 1;
  Random random(0);
  double fixed = 24 * double(ResUNet(one.model, random).parameter_count());
  if (!one.teacher.empty())  // which has no gradients and moments
    fixed += 8 * double(load_weights(one.teacher).network->parameter_count());
  const double share = (double(bytes) - fixed) / (double(least) - fixed);
  const auto crop = int64_t(std::sqrt(std::max(0.0, share)) * double(options.crop) * 0.95) / 8 * 8;
  throw Error(
      ErrorId::usage, "train",
      cat("limit_memory: a step with one pair of ", options.crop, " x ", options.crop, " px takes ",
          std::llround(double(least) / mb), " MB, not ", std::llround(double(bytes) / mb)),
      crop >= 16 ? cat("--crop ", crop, " should fit") : "a smaller --model may fit");
}

}  // namespace cairn::ucn

// Is a gradient right? Compared with central differences in double, for a random cotangent (a
// plain sum would pass, for one, a batch norm whose backward forgets its variance term).
#pragma once

#include <string>

#include "autograd/op.h"

namespace cairn {

struct GradcheckResult {
  bool ok = true;
  double worst = 0;   ///< largest |numeric - analytic| / max(1, |numeric|) met
  std::string where;  ///< the first element beyond the tolerance, with both values
};

/// Draws the sample's inputs with `seed`, and compares each element's derivative (a random hundred
/// and one random direction, for large inputs) with (f(x + h) - f(x - h)) / 2h. The sample runs on
/// `device`.
GradcheckResult gradcheck(const Sample& sample, uint64_t seed, Device device = Device::cpu,
                          double h = 1e-6, double tolerance = 1e-6);

/// The inputs that gradcheck draws; also used by the other tests derived from the list.
std::vector<Var> draw_inputs(const Sample& sample, uint64_t seed, DType type, bool requires_grad,
                             Device device = Device::cpu);

}  // namespace cairn

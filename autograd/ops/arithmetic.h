// What add, sub, mul and div share: samples of every way in which two shapes broadcast.
#pragma once

#include "autograd/op.h"

namespace cairn {

/// The second operand is drawn from [lo, hi], so that a divisor stays away from 0.
inline Samples broadcast_samples(Var (*op)(const Var&, const Var&), double lo = -1, double hi = 1) {
  const auto run = [op](const std::vector<Var>& v) { return op(v[0], v[1]); };
  return {{"equal shapes", {{{2, 3, 5, 4}}, {{2, 3, 5, 4}, lo, hi}}, run},
          {"a row against a matrix", {{{3, 4}}, {{4}, lo, hi}}, run},
          {"both stretch", {{{2, 1, 4}}, {{3, 1}, lo, hi}}, run},
          {"a scalar", {{{2, 3}}, {{}, lo, hi}}, run},
          {"no elements", {{{0, 3}}, {{3}, lo, hi}}, run}};
}

}  // namespace cairn

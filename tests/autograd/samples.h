// What the tests derived from the list of ops share.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "autograd/gradcheck.h"
#include "tensor/random.h"

namespace cairn {

/// Calls f(op, sample) for every sample of every op in the list.
template <class F>
void for_each_sample(F&& f) {
  for (const OpEntry& op : all_ops())
    for (const Sample& sample : op.samples()) {
      CAPTURE(op.name);
      CAPTURE(sample.label);
      f(op, sample);
    }
}

/// The result and all gradients, for a cotangent drawn with the seed; on the CPU in the end.
inline std::vector<Tensor> run_both_ways(const Sample& sample, uint64_t seed, DType type,
                                         Device device = Device::cpu) {
  const auto x = draw_inputs(sample, seed, type, true, device);
  const Var y = sample.run(x);
  Random random(seed, 1);
  y.backward(random_normal(y.shape(), random, 0, 1, type).to(device));
  std::vector<Tensor> all = {y.value().to(Device::cpu)};
  for (const Var& v : x)
    all.push_back(v.grad().defined() ? v.grad().to(Device::cpu) : Tensor::zeros(v.shape(), type));
  return all;
}

}  // namespace cairn

// Every op of the list on the GPU: a new op is tested here by being in the list.
#include <doctest/doctest.h>

#include "tests/autograd/samples.h"
#include "tests/compare.h"

using namespace cairn;

TEST_CASE("on the GPU every op gives what it gives on the CPU, forward and backward") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    for (DType type : {DType::f32, DType::f64}) {
      const auto cpu = run_both_ways(sample, 3, type);
      const auto gpu = run_both_ways(sample, 3, type, Device::cuda);
      for (size_t i = 0; i < cpu.size(); ++i) {
        CAPTURE(i);
        CHECK(gpu[i].dtype() == type);
        CHECK(difference(gpu[i], cpu[i]) <= (type == DType::f32 ? 2e-5 : 1e-12));
      }
    }
  });
}

TEST_CASE("on the GPU every gradient agrees with central differences") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    const GradcheckResult r = gradcheck(sample, 1, Device::cuda);
    CHECK_MESSAGE(r.ok, r.where);
  });
}

TEST_CASE("on the GPU equal bits from run to run") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    const auto once = run_both_ways(sample, 5, DType::f32, Device::cuda);
    const auto again = run_both_ways(sample, 5, DType::f32, Device::cuda);
    for (size_t i = 0; i < once.size(); ++i) CHECK(same_bits(once[i], again[i]));
  });
}

TEST_CASE("on the GPU a NaN that enters is found and named") {
  // Samples that use no element of x, so that nothing can be wrong with their result.
  for_each_sample([&](const OpEntry& op, const Sample& sample) {
    const std::string label = cat(op.name, ": ", sample.label);
    if (label == "masked_mean: none" || label == "margin_mean: none far enough away") return;
    auto x = draw_inputs(sample, 1, DType::f32, true, Device::cuda);
    if (x[0].value().numel() == 0) return;
    x[0].value_() = Tensor::full(x[0].shape(), NAN, DType::f32, Device::cuda);
    if (sample.run(x).value().numel() == 0) return;
    AnomalyMode anomaly;
    try {
      sample.run(x);
      FAIL("no error");
    } catch (const Error& e) {
      CHECK(e.id() == ErrorId::nan);
    }
  });
}

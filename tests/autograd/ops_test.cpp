// Everything here is derived from the one list of ops: a new op is tested by being in it.
#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <string>

#include "autograd/gradcheck.h"
#include "tensor/parallel.h"
#include "tests/autograd/samples.h"
#include "tests/compare.h"

using namespace cairn;

TEST_CASE("the list names every op once, and every op has samples") {
  std::set<std::string> names;
  for (const OpEntry& op : all_ops()) {
    CAPTURE(op.name);
    CHECK(names.insert(op.name).second);
    CHECK(op.samples().size() >= 2);
  }
  CHECK(names.size() >= 24);
}

TEST_CASE("every gradient agrees with central differences, for five seeds") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      const GradcheckResult r = gradcheck(sample, seed);
      CHECK_MESSAGE(r.ok, r.where);
    }
  });
}

TEST_CASE("f32 agrees with f64 within its precision") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    const auto single = run_both_ways(sample, 3, DType::f32);
    const auto twice = run_both_ways(sample, 3, DType::f64);
    for (size_t i = 0; i < twice.size(); ++i) {
      CHECK(single[i].dtype() == DType::f32);
      CHECK(difference(single[i].to(DType::f64), twice[i]) <= 1e-4);
    }
  });
}

TEST_CASE("1, 2 and 7 threads give equal bits") {
  const int before = num_threads();
  for_each_sample([](const OpEntry&, const Sample& sample) {
    set_num_threads(1);
    const auto one = run_both_ways(sample, 5, DType::f32);
    for (int threads : {2, 7}) {
      set_num_threads(threads);
      const auto many = run_both_ways(sample, 5, DType::f32);
      for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], many[i]));
    }
  });
  set_num_threads(before);
}

TEST_CASE("under NoGrad the result has the same bits and no tape") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    const auto x = draw_inputs(sample, 2, DType::f32, true);
    const Var recorded = sample.run(x);
    NoGrad no_grad;
    const Var plain = sample.run(x);
    CHECK_FALSE(plain.requires_grad());
    CHECK(same_bits(plain.value(), recorded.value()));
  });
}

TEST_CASE("gradients add up over two backward passes") {
  for_each_sample([](const OpEntry&, const Sample& sample) {
    const auto x = draw_inputs(sample, 4, DType::f64, true);
    std::vector<Tensor> once;
    for (int pass = 0; pass < 2; ++pass) {
      const Var y = sample.run(x);
      y.backward(Tensor::full(y.shape(), 1, DType::f64));
      for (size_t i = 0; i < x.size(); ++i) {
        if (!x[i].grad().defined()) continue;
        if (pass == 0) {
          once.push_back(x[i].grad().clone());
        } else {
          Tensor twice = once[i].clone();
          for (double& v : twice.span<double>()) v *= 2;
          CHECK(difference(x[i].grad(), twice) <= 1e-12);
        }
      }
    }
  });
}

TEST_CASE("anomaly mode names the op of a NaN that enters") {
  // Samples that use no element of x, so that nothing can be wrong with their result.
  const std::set<std::string> use_nothing = {"masked_mean: none",
                                             "margin_mean: none far enough away"};
  for_each_sample([&](const OpEntry& op, const Sample& sample) {
    auto x = draw_inputs(sample, 1, DType::f32, true);
    if (x[0].value().numel() == 0 || use_nothing.contains(cat(op.name, ": ", sample.label))) return;
    for (float& v : x[0].value_().span<float>()) v = NAN;
    if (sample.run(x).value().numel() == 0) return;
    AnomalyMode anomaly;
    try {
      sample.run(x);
      FAIL("no error");
    } catch (const Error& e) {
      CHECK(e.id() == ErrorId::nan);
      CHECK(std::string(e.what()).find("first at [") != std::string::npos);
      const bool composed = sample.label.starts_with("mean of") || sample.label == "a hinge" ||
                            op.name == std::string("recomputed");
      CHECK((composed || std::string(e.what()).starts_with(cat(op.name, ": "))));
    }
  });
}

TEST_CASE("the table in the docs has a row for every op of the list, and no other") {
  std::ifstream file(CAIRN_SOURCE_DIR "/docs/operations.md");
  std::set<std::string> rows, ops;
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("| `")) rows.insert(line.substr(3, line.find('`', 3) - 3));
  for (const OpEntry& op : all_ops()) ops.insert(op.name);
  CHECK(rows == ops);
}

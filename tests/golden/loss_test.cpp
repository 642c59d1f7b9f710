// The losses, with the reference's masks and with ours, and the contrastive one.
#include "ucn/loss.h"

#include "tests/golden/golden.h"
#include "tests/golden/pairs.h"

namespace cairn::golden {
namespace {

/// One case under one loss: the terms, and the gradients of their sum.
Results run(const TensorFile& file, const std::string& name, const std::string& kind, DType type) {
  const Var f0(to_nhwc(find(file, name + ".F0"), type), true);
  const Var f1(to_nhwc(find(file, name + ".F1"), type), true);
  const Tensor& pairs = find(file, name + ".pairs");
  // "corrected" has the draws of "hardest".
  const std::string drawn = file.find(cat(name, ".", kind, ".sel_pos.0")) ? kind : "hardest";
  std::vector<ucn::TrueMatches> matches;
  std::vector<ucn::LossDraws> draws;
  for (int64_t b = 0; b < f0.dim(0); ++b) {
    matches.push_back(correspondences(pairs, b));
    draws.push_back(draws_of(file, cat(name, ".", drawn, "."), b));
  }
  const auto terms = loss(kind, f0, f1, matches, draws, loss_options(settings(text(file, name))));
  add(terms.positive, terms.negative).backward();
  return {{"pos_loss", terms.positive.value().reshape({1})},
          {"neg_loss", terms.negative.value().reshape({1})},
          {"grad_F0", to_pytorch(f0.grad())},
          {"grad_F1", to_pytorch(f1.grad())}};
}

TEST_CASE("losses and their gradients are the reference's") {
  check_files(".pairs", [](const TensorFile& file, Report& report) {
    for (const auto& key : before(file, ".pos_loss")) {
      report.begin(key);
      const size_t dot = key.rfind('.');
      for (DType type : {DType::f32, DType::f64})
        for (const auto& [name, ours] : run(file, key.substr(0, dot), key.substr(dot + 1), type)) {
          const Tensor* golden = file.find(key + "." + name);
          if (!golden) continue;
          const bool gradient = name.starts_with("grad");
          const double tolerance = type == DType::f32 ? (gradient ? 1e-3 : 1e-6)
                                                      : (golden->dtype() == type ? 1e-9 : 1e-6);
          report.compare(cat(name, " in ", type), ours, *golden, tolerance);
        }
    }
  });
}

}  // namespace
}  // namespace cairn::golden

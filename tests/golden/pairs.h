// Correspondences, draws and settings of the losses, as golden files hold them.
#pragma once

#include "tests/golden/golden.h"
#include "ucn/loss.h"

namespace cairn::golden {

/// Element b of pairs, (B x) K x 4 (x0, y0, x1, y1).
inline ucn::TrueMatches correspondences(const Tensor& pairs, int64_t b = 0) {
  const int64_t k = pairs.dim(-2);
  ucn::TrueMatches c{Tensor::empty({k, 2}, DType::f64), Tensor::empty({k, 2}, DType::f64)};
  const double* p = pairs.data<double>() + b * k * 4;
  for (int64_t i = 0; i < 2 * k; ++i) {
    c.positions0.data<double>()[i] = p[i / 2 * 4 + i % 2];
    c.positions1.data<double>()[i] = p[i / 2 * 4 + 2 + i % 2];
  }
  return c;
}

inline ucn::LossDraws draws_of(const TensorFile& file, const std::string& prefix, int64_t i) {
  return {find(file, cat(prefix, "sel_pos.", i)), find(file, cat(prefix, "sel_neg0.", i)),
          find(file, cat(prefix, "sel_neg1.", i))};
}

inline ucn::LossOptions loss_options(const std::map<std::string, std::string>& given) {
  ucn::LossOptions o;
  o.pos_thresh = number(given, "pos_thresh", o.pos_thresh);
  o.neg_thresh = number(given, "neg_thresh", o.neg_thresh);
  o.radius = number(given, "inlier_px", o.radius);
  o.floor_positions = true;
  return o;
}

/// By the golden files' names: "hardest" or "reference" (with swapped masks), "corrected",
/// "contrastive".
inline ucn::LossTerms loss(const std::string& kind, const Var& f0, const Var& f1,
                           const std::vector<ucn::TrueMatches>& matches,
                           const std::vector<ucn::LossDraws>& draws, ucn::LossOptions o) {
  if (kind == "contrastive") return ucn::contrastive(f0, f1, matches, draws, o);
  o.reference_masks = kind == "hardest" || kind == "reference";
  require(o.reference_masks || kind == "corrected", ErrorId::argument, "golden", "no loss named ",
          kind);
  return ucn::hardest_contrastive(f0, f1, matches, draws, o);
}

}  // namespace cairn::golden

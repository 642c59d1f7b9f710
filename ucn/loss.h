// Losses on pairs of feature maps, and what they draw: Open-UCN's two, and InfoNCE.
#pragma once

#include <span>
#include <string>

#include "autograd/ops.h"
#include "tensor/random.h"

namespace cairn::ucn {

/// Corresponding positions in two images: K x 2 each, (x, y) in pixels, f64.
struct TrueMatches {
  Tensor positions0, positions1;
  int64_t count() const { return positions0.defined() ? positions0.dim(0) : 0; }
};

struct LossOptions {
  double pos_thresh = 0.1, neg_thresh = 1.4, neg_weight = 1;
  int64_t num_pos = 1024;          ///< correspondences whose negatives are mined
  int64_t num_hn_samples = 40000;  ///< pixels drawn in each image
  double radius = 4;               ///< pixels: within this of the true match is no negative
  double temperature = 0.07;       ///< of InfoNCE
  bool batch_negatives = true;     ///< InfoNCE: also the pixels drawn in the batch's other images
  /// The reference judges a negative found in image 1 by the mask of image 0 and the other way
  /// round, and gives NaN when no negative is left. For parity only.
  bool reference_masks = false;
  /// Features of positives at the pixel below each position (the reference), or, if false,
  /// interpolated at the position itself and normalised again.
  bool floor_positions = false;
};

/// The random choices of one image pair.
struct LossDraws {
  Tensor positives;         ///< num_pos indices of correspondences, i64
  Tensor pixels0, pixels1;  ///< row-major pixel indices, i64
};
/// Without replacement; at most as many as there are, and at most min(H0,H1) min(W0,W1) pixels.
LossDraws draw_for_loss(int64_t correspondences, const Shape& features0, const Shape& features1,
                        const LossOptions& options, Random& random);

enum class Loss { hardest, contrastive, infonce, score, distill };
/// Throws ErrorId::argument for an unknown name.
Loss loss_named(const std::string& name);

/// What the losses read of one pair besides its features: all that follows from positions and draws
/// alone, and so can be on the GPU before the step begins.
struct LossInputs {
  struct Side {
    /// Where the positives' features are: K x 2 positions (f64) in the images of all pairs, one
    /// above the other; or K rows (i64) of all pixels if they are floored.
    Tensor positives;
    Tensor pixels;  ///< drawn pixels as rows of all pixels, i64
    /// Where the drawn positives are in their image (f64), floored or not, and exactly.
    Tensor centers, truth;
    Tensor places;  ///< where the drawn pixels are, f64; for the contrastive loss only
    /// K x M f32, for InfoNCE only: -1e9 where a drawn pixel lies within the radius of a drawn
    /// positive's true place and so is neither positive nor negative, else 0.
    Tensor ignored;
  };
  Side side[2];
  Tensor chosen;  ///< the drawn positives' numbers, i64

  /// Calls f(tensor) with every tensor that is defined.
  template <class F>
  void for_each(F&& f) {
    for (Side& s : side)
      for (Tensor* t : {&s.positives, &s.pixels, &s.centers, &s.truth, &s.places, &s.ignored})
        if (t->defined()) f(*t);
    f(chosen);
  }
};
/// Of pair `element` of a batch; on the CPU. Throws ErrorId::index for a position outside the
/// features.
LossInputs prepare_loss(const TrueMatches& matches, const LossDraws& draws, const Shape& features0,
                        const Shape& features1, int64_t element, const LossOptions& options,
                        Loss loss);

/// Both are scalars, means over the batch.
struct LossTerms {
  Var positive, negative;
  Var total(const LossOptions& o) const { return add(positive, scale(negative, o.neg_weight)); }
};

/// Hardest contrastive loss (Choy et al., "Fully convolutional geometric features", ICCV 2019).
///   positive: mean over all correspondences of relu(d2 - pos_thresh)
///   negative: for each drawn correspondence, the drawn pixel of the other image that is nearest in
///   feature space; those outside the radius cost relu(neg_thresh - d2)^2; mean in each direction,
///   averaged. An empty set costs nothing. d2 is the squared distance of unit features.
/// features: N x H x W x C; one LossInputs, on the features' device, for each of the N pairs.
LossTerms hardest_contrastive(const Var& features0, const Var& features1,
                              std::span<const LossInputs> inputs, const LossOptions& options);

/// Contrastive loss (Choy et al., "Universal correspondence network", NIPS 2016): as above, but
/// every drawn pixel outside the radius with d < neg_thresh, d = sqrt(d2 + 2^-23), is a negative
/// and costs (neg_thresh - d)^2. Floored or not, the radius is about the position itself.
LossTerms contrastive(const Var& features0, const Var& features1,
                      std::span<const LossInputs> inputs, const LossOptions& options);

/// Symmetric InfoNCE (van den Oord et al., "Representation learning with contrastive predictive
/// coding", 2018) over pixels, the cross entropy in which each drawn correspondence's feature a has
/// to find its partner b among the drawn pixels c of the other image:
///   -log(exp(a.b / t) / (exp(a.b / t) + sum_c exp(a.c / t))), t the temperature,
/// mean over correspondences and both directions. Pixels within the radius of the true place are
/// left out. positive is the mean of (1 - a.b) / t, negative the rest (alignment and uniformity).
LossTerms info_nce(const Var& features0, const Var& features1, std::span<const LossInputs> inputs,
                   const LossOptions& options);

/// How far features are from a teacher's (Romero et al., "FitNets", ICLR 2015; here of the last
/// layer): the mean of 1 - cosine over all pixels of both images, as `positive`. All features are
/// N x H x W x C and of unit length.
LossTerms distillation(const Var& features0, const Var& features1, const Tensor& teacher0,
                       const Tensor& teacher1);

/// The one of that kind that reads correspondences: not score, which is of a head
/// (ucn/score_head.h), nor distill.
LossTerms compute_loss(Loss loss, const Var& features0, const Var& features1,
                       std::span<const LossInputs> inputs, const LossOptions& options);

/// The same from one TrueMatches and one LossDraws for each pair.
LossTerms hardest_contrastive(const Var& features0, const Var& features1,
                              std::span<const TrueMatches> matches,
                              std::span<const LossDraws> draws, const LossOptions& options);
LossTerms contrastive(const Var& features0, const Var& features1,
                      std::span<const TrueMatches> matches, std::span<const LossDraws> draws,
                      const LossOptions& options);
LossTerms info_nce(const Var& features0, const Var& features1, std::span<const TrueMatches> matches,
                   std::span<const LossDraws> draws, const LossOptions& options);

}  // namespace cairn::ucn

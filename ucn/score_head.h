// Which pixels come back: a small network on the features that predicts where they can be trusted.
#pragma once

#include <span>
#include <vector>

#include "nn/layers.h"
#include "ucn/loss.h"

namespace cairn::ucn {

/// Two logits at every second pixel in x and y, that its match and that match's match are wrong (0)
/// or right (1): 1x1, 3x3 and 1x1 convolutions of 8 channels, N x H x W x C -> N x h x w x 2, h and
/// w half of H and W, rounded up. (As in the detectors of M. Dusmanu et al., CVPR 2019, and J.
/// Revaud et al., NeurIPS 2019, but what counts as reliable is found by matching.)
class ScoreHead : public nn::Module {
 public:
  static constexpr const char* prefix = "score.";  // of its parameters, in a network's state
  static constexpr int64_t stride = 2;  // all pixels would cost a twentieth of the network's time
  ScoreHead(int64_t features, Random& random);

 private:
  Var forward(const Var& features) override;
  nn::Conv2d &reduce_, &look_, &judge_;
};

/// The probabilities, h x w f32 on the CPU, from features H x W x C.
Tensor score_map(ScoreHead& head, const Tensor& dense);

/// Those at points of the features, K x 2 f64, interpolated.
std::vector<float> scores_at(const Tensor& map, const Tensor& points);

/// Cross entropy of the head's logits at the drawn correspondences, in both images. Right is a
/// correspondence whose nearest pixel in the other image lies within options.radius of its true
/// place, and whose nearest pixel lies within it of the start. positive: the part of those that are
/// right, negative: the part of the others; their sum is the mean over all. Features get no
/// gradient. Arguments as those of compute_loss().
LossTerms score_loss(ScoreHead& head, const Tensor& features0, const Tensor& features1,
                     std::span<const LossInputs> inputs, const LossOptions& options);

}  // namespace cairn::ucn

#include "ucn/score_head.h"

#include <algorithm>
#include <cmath>

#include "nn/plan.h"
#include "tensor/kernels/bilinear/bilinear.h"
#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/l2_normalize/l2_normalize.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/rows/rows.h"
#include "tensor/kernels/softmax/softmax.h"

namespace cairn::ucn {

ScoreHead::ScoreHead(int64_t features, Random& random)
    : reduce_(child<nn::Conv2d>("reduce", features, 8, 1, random,
                                Conv2dGeometry{{stride, stride}, {0, 0}, {1, 1}}, true)),
      look_(
          child<nn::Conv2d>("look", 8, 8, 3, random, Conv2dGeometry{{1, 1}, {1, 1}, {1, 1}}, true)),
      judge_(child<nn::Conv2d>("judge", 8, 2, 1, random, Conv2dGeometry{}, true)) {}

Var ScoreHead::forward(const Var& features) { return judge_(relu(look_(relu(reduce_(features))))); }

Tensor score_map(ScoreHead& head, const Tensor& dense) {
  NoGrad no_grad;
  const int64_t h = dense.dim(0), w = dense.dim(1);
  const Tensor image = dense.reshape({1, h, w, dense.dim(2)});
  // A plan is made in no time and goes over the image once for each convolution.
  const Tensor logits =
      image.on_gpu() ? head(Var(image)).value() : nn::Plan(head, image.shape())(image);
  const Tensor both = kernels::softmax(logits).to(Device::cpu).to(DType::f32);
  Tensor scores = Tensor::empty({both.dim(1), both.dim(2)});
  for (int64_t k = 0; k < scores.numel(); ++k)
    scores.data<float>()[k] = both.data<float>()[2 * k + 1];
  return scores;
}

namespace {

/// Places in the features as places in the head's map.
Tensor in_map(const Tensor& points) {
  return kernels::affine(points, 1.0 / double(ScoreHead::stride), 0);
}

}  // namespace

std::vector<float> scores_at(const Tensor& map, const Tensor& points) {
  const Tensor values = kernels::bilinear_sample(map.reshape({map.dim(0), map.dim(1), 1}),
                                                 in_map(points).to(DType::f32));
  const auto all = values.span<float>();
  return {all.begin(), all.end()};
}

namespace {

/// One image of a pair: its pixels' features, and the drawn correspondences' ends.
struct View {
  Tensor map, rows;  // H x W x C, HW x C
  Tensor places;     // K x 2 f64, on the CPU: where the ends are
  Tensor features;   // K x C: interpolated there
};

View view_of(const Tensor& features, int64_t element, const LossInputs::Side& side) {
  const int64_t h = features.dim(1), w = features.dim(2), c = features.dim(3);
  const Tensor one = Tensor::within(features, element * h * w * c * item_size(features.dtype()),
                                    {h, w, c}, features.dtype());
  const Tensor at = side.centers.to(features.dtype());
  return {one, one.reshape({-1, c}), side.centers.to(Device::cpu),
          kernels::l2_normalize(kernels::bilinear_sample(one, at), 1e-8)};
}

bool near(const View& v, int64_t k, int64_t pixel, double radius) {
  const double* p = v.places.data<double>() + 2 * k;
  const int64_t w = v.map.dim(1);
  return std::hypot(double(pixel % w) - p[0], double(pixel / w) - p[1]) <= radius;
}

/// Whether each correspondence, begun in `from`, comes back.
std::vector<bool> come_back(const View& from, const View& to, double radius) {
  const Tensor there = kernels::nearest(from.features, to.rows).index;
  const Tensor back =
      kernels::nearest(kernels::gather_rows(to.rows, there), from.rows).index.to(Device::cpu);
  const Tensor ends = there.to(Device::cpu);
  std::vector<bool> right(size_t(ends.numel()));
  for (int64_t k = 0; k < ends.numel(); ++k)
    right[size_t(k)] = near(to, k, ends.data<int64_t>()[k], radius) &&
                       near(from, k, back.data<int64_t>()[k], radius);
  return right;
}

}  // namespace

LossTerms score_loss(ScoreHead& head, const Tensor& features0, const Tensor& features1,
                     std::span<const LossInputs> inputs, const LossOptions& o) {
  const Tensor* features[] = {&features0, &features1};
  const Var logits[] = {head(features0), head(features1)};
  const double share = 0.5 / double(inputs.size());
  LossTerms sum{Var(Tensor::zeros({}, features0.dtype(), features0.device())),
                Var(Tensor::zeros({}, features0.dtype(), features0.device()))};
  for (size_t b = 0; b < inputs.size(); ++b) {
    View views[2];
    for (size_t s = 0; s < 2; ++s) views[s] = view_of(*features[s], int64_t(b), inputs[b].side[s]);
    const int64_t k = views[0].places.dim(0);
    if (k == 0) continue;
    for (size_t s = 0; s < 2; ++s) {
      const auto right = come_back(views[s], views[1 - s], o.radius);
      // What the log of each of the two probabilities counts.
      Tensor weight[2] = {Tensor::zeros({k, 2}), Tensor::zeros({k, 2})};
      for (int64_t i = 0; i < k; ++i)
        weight[right[size_t(i)]].data<float>()[2 * i + right[size_t(i)]] =
            float(-share / double(k));
      // In the maps of all pairs, one above the other, never between two of them.
      const int64_t h = logits[s].dim(1);
      Tensor at = in_map(views[s].places);
      for (int64_t i = 0; i < k; ++i) {
        double& y = at.data<double>()[2 * i + 1];
        y = std::min(y, double(h - 1)) + double(int64_t(b) * h);
      }
      const Var logs = log_softmax(bilinear_sample(reshape(logits[s], {-1, logits[s].dim(2), 2}),
                                                   at.to(features0.device())));
      const auto term = [&](const Tensor& w) {
        return cairn::sum(mul(logs, Var(w.to(logs.dtype()).to(features0.device()))));
      };
      sum.negative = add(sum.negative, term(weight[0]));
      sum.positive = add(sum.positive, term(weight[1]));
    }
  }
  return sum;
}

}  // namespace cairn::ucn

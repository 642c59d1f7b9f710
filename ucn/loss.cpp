#include "ucn/loss.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "tensor/kernels/elementwise/elementwise.h"
#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/pixels/pixels.h"
#include "tensor/kernels/reduce/reduce.h"
#include "tensor/kernels/rows/rows.h"

namespace cairn::ucn {

Loss loss_named(const std::string& name) {
  for (const auto& [loss, its] : {std::pair(Loss::hardest, "hardest"),
                                  {Loss::contrastive, "contrastive"},
                                  {Loss::infonce, "infonce"},
                                  {Loss::score, "score"},
                                  {Loss::distill, "distill"}})
    if (name == its) return loss;
  throw Error(ErrorId::argument, "loss", cat("there is no loss '", name, "'"));
}

LossDraws draw_for_loss(int64_t correspondences, const Shape& features0, const Shape& features1,
                        const LossOptions& o, Random& random) {
  const auto draw = [&](int64_t n, int64_t k) {
    const auto drawn = sample_without_replacement(n, std::min(n, k), random);
    return Tensor::from({int64_t(drawn.size())}, drawn);
  };
  const int64_t common =
      std::min(features0[1], features1[1]) * std::min(features0[2], features1[2]);
  const int64_t pixels = std::min(o.num_hn_samples, common);
  LossDraws d;
  d.positives = draw(correspondences, o.num_pos);
  d.pixels0 = draw(features0[1] * features0[2], pixels);
  d.pixels1 = draw(features1[1] * features1[2], pixels);
  return d;
}

namespace {

/// Half of prepare_loss().
LossInputs::Side prepare_side(const Tensor& positions, const Tensor& pixels, const Tensor& chosen,
                              const Shape& features, int64_t element, const LossOptions& o,
                              Loss loss) {
  const bool floored = o.floor_positions;
  const int64_t h = features[1], w = features[2], k = positions.dim(0);
  const int64_t first = element * h * w;  // the element's first pixel among all
  const double* p = positions.data<double>();
  Tensor at = positions.clone();  // element b's image begins at row b h; weights never cross over
  Tensor centers = positions.clone(), rows = Tensor::empty({k}, DType::i64);
  for (int64_t i = 0; i < k; ++i) {
    const double x = p[2 * i], y = p[2 * i + 1];
    require(x >= 0 && x <= double(w - 1) && y >= 0 && y <= double(h - 1), ErrorId::index, "loss",
            "position (", x, ", ", y, ") lies outside the features of ", h, "x", w);
    at.data<double>()[2 * i + 1] += double(element * h);
    rows.data<int64_t>()[i] = first + int64_t(y) * w + int64_t(x);
    if (!floored) continue;
    centers.data<double>()[2 * i] = std::floor(x);
    centers.data<double>()[2 * i + 1] = std::floor(y);
  }
  LossInputs::Side side{
      floored ? rows : at, pixels.clone(), kernels::gather_rows(centers, chosen), {}, {}, {}};
  for (int64_t& pixel : side.pixels.span<int64_t>()) pixel += first;
  if (loss != Loss::contrastive && loss != Loss::infonce) return side;
  const Tensor truth = kernels::gather_rows(positions, chosen);
  Tensor places = Tensor::empty({pixels.dim(0), 2}, DType::f64);
  for (int64_t j = 0; j < pixels.dim(0); ++j) {
    const int64_t pixel = pixels.data<int64_t>()[j];
    places.data<double>()[2 * j] = double(pixel % w);
    places.data<double>()[2 * j + 1] = double(pixel / w);
  }
  if (loss == Loss::contrastive) {
    side.truth = truth;
    side.places = places;
    return side;
  }
  side.ignored = Tensor::zeros({truth.dim(0), places.dim(0)});
  float* out = side.ignored.data<float>();
  const double *t = truth.data<double>(), *p_end = places.data<double>() + places.numel();
  for (int64_t i = 0; i < truth.dim(0); ++i, t += 2)
    for (const double* at = places.data<double>(); at != p_end; at += 2, ++out) {
      const double dx = at[0] - t[0], dy = at[1] - t[1];
      if (dx * dx + dy * dy <= o.radius * o.radius) *out = -1e9f;
    }
  return side;
}

}  // namespace

LossInputs prepare_loss(const TrueMatches& m, const LossDraws& d, const Shape& features0,
                        const Shape& features1, int64_t element, const LossOptions& o, Loss loss) {
  const auto side = [&](const Tensor& positions, const Tensor& pixels, const Shape& features) {
    return prepare_side(positions, pixels, d.positives, features, element, o, loss);
  };
  return {{side(m.positions0, d.pixels0, features0), side(m.positions1, d.pixels1, features1)},
          d.positives};
}

namespace {

/// One image's side of a batch element.
struct View {
  Var rows;              // all pixels of the batch as rows: N H W x C
  Var map;               // the same as N H x W x C, for interpolation
  int64_t first, width;  // first: the element's first pixel among the rows
  const LossInputs::Side* side;
};

View view_of(const Var& features, int64_t element, const LossInputs::Side& side) {
  const int64_t h = features.dim(1), w = features.dim(2), c = features.dim(3);
  return {reshape(features, {-1, c}), reshape(features, {-1, w, c}), element * h * w, w, &side};
}

/// Features of the positives: K x C.
Var positives_of(const View& v, bool floored) {
  if (floored) return gather_rows(v.rows, v.side->positives);
  return l2_normalize(bilinear_sample(v.map, v.side->positives), 1e-8);
}

/// The mined negatives of one direction: for each row of `anchors` the nearest drawn pixel of
/// `other`, and whether it is far enough from the true match there.
struct Mined {
  Var distance;  // K: squared
  Tensor far;    // K: u8
};

Mined mine(const Var& anchors, const View& other, double radius) {
  const Tensor& pixels = other.side->pixels;
  const Tensor nearest =
      kernels::nearest(anchors.value(), kernels::gather_rows(other.rows.value(), pixels)).index;
  const Tensor hardest = kernels::gather_rows(pixels.reshape({-1, 1}), nearest).reshape({-1});
  return {row_distance2(anchors, gather_rows(other.rows, hardest)),
          kernels::far_pixels(hardest, other.side->centers, other.first, other.width, radius)};
}

/// NaN, not 0, when nothing is selected, though without any gradient: what the reference does.
Var reference_mean(const Var& x, const Tensor& mask) {
  const Tensor count = kernels::sum(mask.to(x.dtype()));
  return add(masked_mean(x, mask), Var(kernels::div(kernels::affine(count, 0, 0), count)));
}

/// What a loss makes of pair b, from the views of all pairs.
using PairLoss = std::function<LossTerms(std::span<const std::array<View, 2>> views, size_t b)>;

/// The mean over the batch.
LossTerms over_batch(const Var& f0, const Var& f1, std::span<const LossInputs> inputs,
                     const PairLoss& of_pair) {
  const int64_t n = f0.dim(0);
  require(
      f0.value().rank() == 4 && f1.value().rank() == 4 && f1.dim(0) == n && f0.dim(3) == f1.dim(3),
      ErrorId::shape, "loss", "features of ", f0.shape(), " and ", f1.shape(),
      " do not form a batch of pairs");
  require(int64_t(inputs.size()) == n, ErrorId::shape, "loss", n, " pairs, but inputs for ",
          inputs.size());
  std::vector<std::array<View, 2>> views;
  for (int64_t b = 0; b < n; ++b) {
    const LossInputs& in = inputs[size_t(b)];
    views.push_back({view_of(f0, b, in.side[0]), view_of(f1, b, in.side[1])});
  }
  LossTerms sum;
  for (size_t b = 0; b < views.size(); ++b) {
    const LossTerms one = of_pair(views, b);
    sum = b ? LossTerms{add(sum.positive, one.positive), add(sum.negative, one.negative)} : one;
  }
  return {scale(sum.positive, 1 / double(n)), scale(sum.negative, 1 / double(n))};
}

/// Of the two losses of Open-UCN. `negatives` makes a pair's term from its views and positives.
template <class Negatives>
LossTerms margin_loss(const Var& f0, const Var& f1, std::span<const LossInputs> inputs,
                      const LossOptions& o, Negatives&& negatives) {
  return over_batch(f0, f1, inputs, [&](std::span<const std::array<View, 2>> views, size_t b) {
    const auto& [v0, v1] = views[b];
    const Tensor& chosen = inputs[b].chosen;
    const Var p0 = positives_of(v0, o.floor_positions), p1 = positives_of(v1, o.floor_positions);
    return LossTerms{mean(relu(scale(row_distance2(p0, p1), 1, -o.pos_thresh))),
                     negatives(v0, v1, gather_rows(p0, chosen), gather_rows(p1, chosen))};
  });
}

std::vector<LossInputs> prepare_all(const Var& f0, const Var& f1,
                                    std::span<const TrueMatches> matches,
                                    std::span<const LossDraws> draws, const LossOptions& o,
                                    Loss loss) {
  require(f0.value().rank() == 4 && f1.value().rank() == 4, ErrorId::shape, "loss", "features of ",
          f0.shape(), " and ", f1.shape(), " do not form a batch of pairs");
  require(matches.size() == draws.size(), ErrorId::shape, "loss", matches.size(),
          " sets of correspondences, but ", draws.size(), " draws");
  std::vector<LossInputs> inputs;
  for (size_t b = 0; b < matches.size(); ++b) {
    inputs.push_back(
        prepare_loss(matches[b], draws[b], f0.shape(), f1.shape(), int64_t(b), o, loss));
    inputs.back().for_each([&](Tensor& t) { t = t.to(f0.device()); });
  }
  return inputs;
}

}  // namespace

LossTerms hardest_contrastive(const Var& features0, const Var& features1,
                              std::span<const LossInputs> inputs, const LossOptions& o) {
  return margin_loss(features0, features1, inputs, o,
                     [&](const View& v0, const View& v1, const Var& p0, const Var& p1) {
                       const Mined in1 = mine(p0, v1, o.radius), in0 = mine(p1, v0, o.radius);
                       const auto cost = [&](const Mined& m, const Tensor& far) {
                         const Var c = square(hinge(m.distance, o.neg_thresh));
                         return o.reference_masks ? reference_mean(c, far) : masked_mean(c, far);
                       };
                       const bool swapped = o.reference_masks;
                       return scale(add(cost(in1, swapped ? in0.far : in1.far),
                                        cost(in0, swapped ? in1.far : in0.far)),
                                    0.5);
                     });
}

LossTerms contrastive(const Var& features0, const Var& features1,
                      std::span<const LossInputs> inputs, const LossOptions& o) {
  return margin_loss(features0, features1, inputs, o,
                     [&](const View& v0, const View& v1, const Var& p0, const Var& p1) {
                       const auto direction = [&](const Var& anchors, const View& other) {
                         return margin_mean(anchors, gather_rows(other.rows, other.side->pixels),
                                            other.side->truth, other.side->places, o.radius,
                                            o.neg_thresh);
                       };
                       return scale(add(direction(p0, v1), direction(p1, v0)), 0.5);
                     });
}

LossTerms info_nce(const Var& features0, const Var& features1, std::span<const LossInputs> inputs,
                   const LossOptions& o) {
  return over_batch(
      features0, features1, inputs, [&](std::span<const std::array<View, 2>> views, size_t b) {
        const Var p[] = {
            gather_rows(positives_of(views[b][0], o.floor_positions), inputs[b].chosen),
            gather_rows(positives_of(views[b][1], o.floor_positions), inputs[b].chosen)};
        const double sharpness = 1 / o.temperature;
        const Var apart = scale(row_distance2(p[0], p[1]), sharpness / 2);  // (1 - a.b) / t
        const Var alignment = mean(apart);
        /// Of the anchors in the other image, which look for their partners in this one.
        const auto cross_entropy = [&](size_t side) {
          std::vector<Var> logits{reshape(scale(apart, -1, sharpness), {-1, 1})};
          for (size_t other = 0; other < views.size(); ++other) {
            if (other != b && !o.batch_negatives) continue;
            const View& v = views[other][side];
            const Var all = matmul(p[1 - side], gather_rows(v.rows, v.side->pixels), false, true);
            const Var scaled = scale(all, sharpness);
            logits.push_back(other != b ? scaled
                                        : add(scaled, Var(v.side->ignored.to(all.dtype()))));
          }
          const Var log_shares = log_softmax(concat(logits));
          const int64_t k = log_shares.dim(0), columns = log_shares.dim(1);
          return scale(mean(crop(reshape(log_shares, {1, k, columns, 1}), k, 1)), -1);
        };
        const Var both = scale(add(cross_entropy(0), cross_entropy(1)), 0.5);
        return LossTerms{alignment, sub(both, alignment)};
      });
}

LossTerms distillation(const Var& features0, const Var& features1, const Tensor& teacher0,
                       const Tensor& teacher1) {
  const auto apart = [](const Var& features, const Tensor& teacher) {
    require(teacher.rank() == 4 && features.shape() == teacher.shape(), ErrorId::shape, "distill",
            "features are ", features.shape(), ", the teacher's ", teacher.shape());
    const int64_t c = features.dim(3);
    return mean(row_distance2(reshape(features, {-1, c}), Var(teacher.reshape({-1, c}))));
  };
  // Half of a squared distance is 1 - cosine, and there are two images.
  return {scale(add(apart(features0, teacher0), apart(features1, teacher1)), 0.25),
          Var(Tensor::full({}, 0, features0.dtype(), features0.device()))};
}

LossTerms compute_loss(Loss loss, const Var& features0, const Var& features1,
                       std::span<const LossInputs> inputs, const LossOptions& o) {
  require(loss != Loss::score && loss != Loss::distill, ErrorId::argument, "loss",
          "score and distill have functions of their own");
  constexpr LossTerms (*losses[])(const Var&, const Var&, std::span<const LossInputs>,
                                  const LossOptions&) = {hardest_contrastive, contrastive,
                                                         info_nce};
  return losses[size_t(loss)](features0, features1, inputs, o);
}

LossTerms hardest_contrastive(const Var& features0, const Var& features1,
                              std::span<const TrueMatches> matches,
                              std::span<const LossDraws> draws, const LossOptions& o) {
  return hardest_contrastive(
      features0, features1, prepare_all(features0, features1, matches, draws, o, Loss::hardest), o);
}

LossTerms contrastive(const Var& features0, const Var& features1,
                      std::span<const TrueMatches> matches, std::span<const LossDraws> draws,
                      const LossOptions& o) {
  return contrastive(features0, features1,
                     prepare_all(features0, features1, matches, draws, o, Loss::contrastive), o);
}

LossTerms info_nce(const Var& features0, const Var& features1, std::span<const TrueMatches> matches,
                   std::span<const LossDraws> draws, const LossOptions& o) {
  return info_nce(features0, features1,
                  prepare_all(features0, features1, matches, draws, o, Loss::infonce), o);
}

}  // namespace cairn::ucn

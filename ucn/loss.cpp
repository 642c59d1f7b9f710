#include "ucn/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/kernels/nearest/nearest.h"
#include "tensor/kernels/rows/rows.h"

namespace cairn::ucn {

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

/// One image's side of a batch element.
struct View {
  Var rows;                       // all pixels of the batch as rows: N H W x C
  Var map;                        // the same as N H x W x C, for interpolation
  int64_t height, width, offset;  // offset: the element's first pixel among the rows
  Tensor truth;                   // K x 2: where the positives are
  Tensor positions;               // the same, floored if so asked
};

View view_of(const Var& features, int64_t element, const Tensor& positions, bool floored) {
  const int64_t h = features.dim(1), w = features.dim(2), c = features.dim(3);
  View v{
      reshape(features, {-1, c}), reshape(features, {-1, w, c}), h, w, element * h * w, positions,
      positions.clone()};
  if (floored)
    for (double& p : v.positions.span<double>()) p = std::floor(p);
  const double* p = v.positions.data<double>();
  for (int64_t k = 0; k < positions.dim(0); ++k)
    require(p[2 * k] >= 0 && p[2 * k] <= double(w - 1) && p[2 * k + 1] >= 0 &&
                p[2 * k + 1] <= double(h - 1),
            ErrorId::index, "loss", "position (", p[2 * k], ", ", p[2 * k + 1],
            ") lies outside the features of ", h, "x", w);
  return v;
}

Tensor shifted(const Tensor& pixels, int64_t offset) {
  Tensor t = pixels.clone();
  for (int64_t& p : t.span<int64_t>()) p += offset;
  return t;
}

/// Features at the positions: K x C.
Var features_at_positions(const View& v, bool floored) {
  const double* p = v.positions.data<double>();
  const int64_t k = v.positions.dim(0);
  if (floored) {
    std::vector<int64_t> index;
    for (int64_t i = 0; i < k; ++i)
      index.push_back(v.offset + int64_t(p[2 * i + 1]) * v.width + int64_t(p[2 * i]));
    return gather_rows(v.rows, Tensor::from({k}, index));
  }
  Tensor at = v.positions.clone();  // element b's rows begin at b H; weights never cross into b + 1
  for (int64_t i = 0; i < k; ++i) at.data<double>()[2 * i + 1] += double(v.offset / v.width);
  return l2_normalize(bilinear_sample(v.map, at), 1e-8);
}

/// The mined negatives of one direction: for each row of `anchors` the nearest drawn pixel of
/// `other`, and whether it is far enough from the true match there.
struct Mined {
  Var distance;  // K: squared
  Tensor far;    // K: u8
};

Mined mine(const Var& anchors, const View& other, const Tensor& pixels, const Tensor& chosen,
           double radius) {
  const Tensor rows = shifted(pixels, other.offset);
  const int64_t k = anchors.dim(0);
  Tensor hardest = Tensor::empty({k}, DType::i64), far = Tensor::empty({k}, DType::u8);
  const Tensor nearest =
      kernels::nearest(anchors.value(), kernels::gather_rows(other.rows.value(), rows)).index;
  const Tensor truth = kernels::gather_rows(other.positions, chosen);
  const double* t = truth.data<double>();
  for (int64_t i = 0; i < k; ++i) {
    const int64_t pixel = pixels.data<int64_t>()[nearest.data<int64_t>()[i]];
    hardest.data<int64_t>()[i] = pixel + other.offset;
    const double dx = double(pixel % other.width) - t[2 * i];
    const double dy = double(pixel / other.width) - t[2 * i + 1];
    far.data<uint8_t>()[i] = std::sqrt(dx * dx + dy * dy) > radius;
  }
  return {row_distance2(anchors, gather_rows(other.rows, hardest)), far};
}

/// NaN, not 0, when nothing is selected, though without any gradient: what the reference does.
Var reference_mean(const Var& x, const Tensor& mask) {
  const bool any = std::ranges::any_of(mask.span<uint8_t>(), [](uint8_t m) { return m != 0; });
  return scale(masked_mean(x, mask), 1, any ? 0 : NAN);
}

/// Sum over pairs of each term, then the mean over the batch. `negatives` makes one pair's term
/// from the two views and its draws.
template <class Negatives>
LossTerms over_batch(const Var& f0, const Var& f1, std::span<const Correspondences> matches,
                     std::span<const LossDraws> draws, const LossOptions& o,
                     Negatives&& negatives) {
  const int64_t n = f0.dim(0);
  require(
      f0.value().rank() == 4 && f1.value().rank() == 4 && f1.dim(0) == n && f0.dim(3) == f1.dim(3),
      ErrorId::shape, "loss", "features of ", f0.shape(), " and ", f1.shape(),
      " do not form a batch of pairs");
  require(int64_t(matches.size()) == n && int64_t(draws.size()) == n, ErrorId::shape, "loss", n,
          " pairs, but ", matches.size(), " sets of correspondences and ", draws.size(), " draws");
  LossTerms sum_terms;
  for (int64_t b = 0; b < n; ++b) {
    const Correspondences& m = matches[size_t(b)];
    const View v0 = view_of(f0, b, m.positions0, o.floor_positions);
    const View v1 = view_of(f1, b, m.positions1, o.floor_positions);
    const Var p0 = features_at_positions(v0, o.floor_positions);
    const Var p1 = features_at_positions(v1, o.floor_positions);
    const Var positive = mean(relu(scale(row_distance2(p0, p1), 1, -o.pos_thresh)));
    const Var negative = negatives(v0, v1, p0, p1, draws[size_t(b)]);
    sum_terms.positive = b ? add(sum_terms.positive, positive) : positive;
    sum_terms.negative = b ? add(sum_terms.negative, negative) : negative;
  }
  return {scale(sum_terms.positive, 1 / double(n)), scale(sum_terms.negative, 1 / double(n))};
}

}  // namespace

LossTerms hardest_contrastive(const Var& features0, const Var& features1,
                              std::span<const Correspondences> matches,
                              std::span<const LossDraws> draws, const LossOptions& o) {
  return over_batch(
      features0, features1, matches, draws, o,
      [&](const View& v0, const View& v1, const Var& p0, const Var& p1, const LossDraws& d) {
        const Mined in1 = mine(gather_rows(p0, d.positives), v1, d.pixels1, d.positives, o.radius);
        const Mined in0 = mine(gather_rows(p1, d.positives), v0, d.pixels0, d.positives, o.radius);
        const auto cost = [&](const Mined& m, const Tensor& far) {
          const Var c = square(hinge(m.distance, o.neg_thresh));
          return o.reference_masks ? reference_mean(c, far) : masked_mean(c, far);
        };
        const bool swapped = o.reference_masks;
        return scale(
            add(cost(in1, swapped ? in0.far : in1.far), cost(in0, swapped ? in1.far : in0.far)),
            0.5);
      });
}

LossTerms contrastive(const Var& features0, const Var& features1,
                      std::span<const Correspondences> matches, std::span<const LossDraws> draws,
                      const LossOptions& o) {
  return over_batch(
      features0, features1, matches, draws, o,
      [&](const View& v0, const View& v1, const Var& p0, const Var& p1, const LossDraws& d) {
        const auto direction = [&](const Var& anchors, const View& other, const Tensor& pixels) {
          Tensor places = Tensor::empty({pixels.dim(0), 2}, DType::f64);
          for (int64_t j = 0; j < pixels.dim(0); ++j) {
            const int64_t pixel = pixels.data<int64_t>()[j];
            places.data<double>()[2 * j] = double(pixel % other.width);
            places.data<double>()[2 * j + 1] = double(pixel / other.width);
          }
          return margin_mean(gather_rows(anchors, d.positives),
                             gather_rows(other.rows, shifted(pixels, other.offset)),
                             kernels::gather_rows(other.truth, d.positives), places, o.radius,
                             o.neg_thresh);
        };
        return scale(add(direction(p0, v1, d.pixels1), direction(p1, v0, d.pixels0)), 0.5);
      });
}

}  // namespace cairn::ucn

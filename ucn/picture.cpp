#include "ucn/picture.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "data/image.h"
#include "data/photometric.h"
#include "data/text.h"
#include "data/warp.h"

namespace cairn::ucn {
namespace {

constexpr int64_t gap = 4;
// Of M. Okabe and K. Ito's palette, which all eyes tell apart.
constexpr Color green{0, 158, 115}, vermilion{213, 94, 0}, yellow{240, 228, 66}, blue{0, 114, 178},
    white{255, 255, 255};

bool shown(const ShownPair& p, size_t k) { return p.inlier.empty() || p.inlier[k] != 0; }
size_t count_shown(const ShownPair& p) {
  return p.inlier.empty() ? p.matches.size() : size_t(std::ranges::count(p.inlier, 1));
}
std::string counted(const ShownPair& p) {
  return p.inlier.empty() ? cat(p.matches.size(), " matches")
                          : cat(count_shown(p), " inliers of ", p.matches.size(), " matches");
}

/// Lines and discs keep their look whatever the size of the photos.
double unit_of(const Tensor& image) { return double(std::max(image.dim(0), image.dim(1))) / 1000; }

/// Dark blue over gray to yellow, of even steps in lightness for all eyes (after J. Nunez, C.
/// Anderton and R. Renslow, "Optimizing colormaps with consideration for color vision deficiency",
/// PLoS ONE 2018).
constexpr Color scale[] = {
    {0, 34, 78}, {67, 78, 108}, {124, 123, 120}, {188, 174, 108}, {254, 232, 56}};
Color blend(std::span<const Color> colors, double share) {
  const double at = std::clamp(share, 0.0, 1.0) * double(colors.size() - 1);
  const auto k = std::min(size_t(at), colors.size() - 1), next = std::min(k + 1, colors.size() - 1);
  Color c;
  for (size_t i = 0; i < 3; ++i)
    c[i] = uint8_t(std::lround(std::lerp(colors[k][i], colors[next][i], at - double(k))));
  return c;
}

void fill_(Tensor& image, int64_t x0, int64_t y0, int64_t width, int64_t height,
           std::span<const Color> colors) {
  for (int64_t y = std::max<int64_t>(0, y0); y < std::min(image.dim(0), y0 + height); ++y)
    for (int64_t x = std::max<int64_t>(0, x0); x < std::min(image.dim(1), x0 + width); ++x)
      std::ranges::copy(blend(colors, double(x - x0) / double(std::max<int64_t>(1, width - 1))),
                        image.data<uint8_t>() + 3 * (y * image.dim(1) + x));
}

/// Up to `most` of the numbers, evenly.
std::vector<size_t> some_of(const std::vector<size_t>& all, size_t most) {
  std::vector<size_t> some;
  const size_t n = std::min(all.size(), most);
  for (size_t k = 0; k < n; ++k) some.push_back(all[k * all.size() / n]);
  return some;
}

/// Image 1 as image 0's camera would see it (H x W x 3 u8), and where it shows anything.
struct Warped {
  Tensor image;
  std::vector<uint8_t> seen;
};
Warped seen_from_0(const ShownPair& p, const Homography& map) {
  const int64_t h = p.image0.dim(0), w = p.image0.dim(1);
  const Tensor values = warp(Pyramid(to_rgb(p.image1)), map, h, w);
  Warped r{Tensor::empty({h, w, 3}, DType::u8), {}};
  std::ranges::transform(values.span<float>(), r.image.data<uint8_t>(),
                         [](float v) { return uint8_t(std::clamp(std::lround(v), 0L, 255L)); });
  const auto width1 = double(p.image1.dim(1)), height1 = double(p.image1.dim(0));
  const double side = map[8] < 0 ? -1 : 1;  // of the vanishing line, where image 0's corner is
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      const Point q = apply(map, double(x), double(y));
      const double d = map[6] * double(x) + map[7] * double(y) + map[8];
      r.seen.push_back(d * side > 0 && q[0] >= -0.5 && q[1] >= -0.5 && q[0] <= width1 - 0.5 &&
                       q[1] <= height1 - 0.5);
    }
  return r;
}

}  // namespace

Tensor with_legend(const Picture& picture) {
  const Tensor& image = picture.image;
  const auto width = double(image.dim(1));
  double text = std::clamp(width / 90, 9.0, 28.0);
  struct Placed {
    double x, y;
    const Picture::Entry* entry;
  };
  std::vector<Placed> placed;
  const auto key = [&](const Picture::Entry& e) {  // the width of its colours
    return e.colors.empty() ? 0 : (e.colors.size() > 1 ? 6 * text : text) + text;
  };
  for (const Picture::Entry& e : picture.legend)  // the longest still fits
    while (text > 3 && key(e) + text_width(e.text, text) > width - 2 * text) text *= 0.9;
  const double line = 2 * text;
  double x = text, y = 0;
  for (const Picture::Entry& e : picture.legend) {
    const double needed = key(e) + text_width(e.text, text);
    if (x > text && x + needed > width - text) x = text, y += line;
    placed.push_back({x, y, &e});
    x += needed + 2.5 * text;
  }
  const auto top = image.dim(0);
  const auto height = int64_t(std::ceil(y + line + text));
  Tensor result = Tensor::zeros({top + height, image.dim(1), 3}, DType::u8);
  std::ranges::copy(image.span<uint8_t>(), result.data<uint8_t>());
  for (const auto& [px, py, e] : placed) {
    const double at = double(top) + py + text;
    if (!e->colors.empty())
      fill_(result, std::llround(px), std::llround(at), std::llround(key(*e) - text),
            std::llround(text), e->colors);
    draw_text_(result, e->text, px + key(*e), at, text, white);
  }
  return result;
}

Picture draw_points(const ShownPair& p) {
  Tensor image = darken(side_by_side(p.image0, p.image1, gap), 0.5);
  const double shift = double(p.image0.dim(1) + gap), radius = std::max(1.5, 2.5 * unit_of(image));
  for (size_t k = p.matches.size(); k-- > 0;) {  // the best on top
    if (!shown(p, k)) continue;
    const PointPair& m = p.matches[k];
    const Color color =
        position_color(m.x0, m.y0, double(p.image0.dim(1)), double(p.image0.dim(0)));
    draw_disc_(image, m.x0, m.y0, radius, color);
    draw_disc_(image, m.x1 + shift, m.y1, radius, color);
  }
  return {image, {{{}, counted(p) + ", equal colours belong together"}}};
}

Picture draw_lines(const ShownPair& p) {
  Tensor image = darken(side_by_side(p.image0, p.image1, gap), 0.5);
  const double shift = double(p.image0.dim(1) + gap), unit = unit_of(image);
  std::vector<size_t> in, out;
  for (size_t k = 0; k < p.matches.size(); ++k) (shown(p, k) ? in : out).push_back(k);
  const auto some_in = some_of(in, 250), some_out = some_of(out, 100);
  const auto draw = [&](const std::vector<size_t>& some, double width, Color color) {
    for (const size_t k : some) {
      const PointPair& m = p.matches[k];
      draw_line_(image, m.x0, m.y0, m.x1 + shift, m.y1, width, color);
      draw_disc_(image, m.x0, m.y0, 1.5 * width, color);
      draw_disc_(image, m.x1 + shift, m.y1, 1.5 * width, color);
    }
  };
  draw(some_out, std::max(0.8, 0.7 * unit), vermilion);
  draw(some_in, std::max(1.0, unit), green);
  const auto told = [](const std::vector<size_t>& some, const std::vector<size_t>& all,
                       const char* what) {
    return some.size() < all.size() ? cat(some.size(), " of ", all.size(), " ", what)
                                    : cat(all.size(), " ", what);
  };
  Picture r{image, {{{green}, told(some_in, in, p.inlier.empty() ? "matches" : "inliers")}}};
  if (!p.inlier.empty()) r.legend.push_back({{vermilion}, told(some_out, out, "outliers")});
  return r;
}

Picture draw_density(const ShownPair& p) {
  // Each match counts around its ends by a Gaussian, on a grid of every fourth pixel.
  constexpr int64_t step = 4;
  const double sigma = double(std::max(p.image0.dim(0), p.image0.dim(1))) / 40;
  Tensor images[] = {to_rgb(p.image0).clone(), to_rgb(p.image1).clone()}, sums[2];
  float most = 1e-6f;
  for (size_t i = 0; i < 2; ++i) {
    const int64_t rows = images[i].dim(0) / step + 1, columns = images[i].dim(1) / step + 1;
    sums[i] = Tensor::zeros({rows, columns, 1});
    for (size_t k = 0; k < p.matches.size(); ++k) {
      const PointPair& m = p.matches[k];
      const double x = (i == 0 ? m.x0 : m.x1) / step, y = (i == 0 ? m.y0 : m.y1) / step;
      if (shown(p, k) && x > -0.5 && y > -0.5 && x < double(columns) - 0.5 &&
          y < double(rows) - 0.5)
        sums[i].data<float>()[std::lround(y) * columns + std::lround(x)] += 1;
    }
    sums[i] = gaussian_blur(sums[i], sigma / step);
    for (float& v : sums[i].span<float>()) {
      v *= float(2 * M_PI * sigma * sigma / (step * step));  // 1 at a single match
      most = std::max(most, v);
    }
  }
  for (size_t i = 0; i < 2; ++i) {
    uint8_t* pixel = images[i].data<uint8_t>();
    for (int64_t y = 0; y < images[i].dim(0); ++y)
      for (int64_t x = 0; x < images[i].dim(1); ++x, pixel += 3) {
        const double share =
            double(sums[i].data<float>()[y / step * sums[i].dim(1) + x / step] / most);
        const Color color = blend(scale, share);
        const double gray = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        for (size_t c = 0; c < 3; ++c)
          pixel[c] = uint8_t(std::lround(0.35 * gray + 0.65 * color[c]));
      }
  }
  char text[80];
  std::snprintf(text, sizeof text, "0 to %.0f within %.0f px", double(most),
                std::sqrt(2.0) * sigma);  // the disc whose area the Gaussian has
  return {side_by_side(images[0], images[1], gap),
          {{{std::begin(scale), std::end(scale)}, text}, {{}, counted(p)}}};
}

Picture draw_features(const Tensor& features0, const Tensor& features1) {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Map = Eigen::Map<const Rows>;
  const Map both[] = {
      Map(features0.data<float>(), features0.numel() / features0.dim(2), features0.dim(2)),
      Map(features1.data<float>(), features1.numel() / features1.dim(2), features1.dim(2))};
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(features0.dim(2));
  Eigen::MatrixXd moments = Eigen::MatrixXd::Zero(sum.size(), sum.size());
  double count = 0;
  for (const Map& f : both)
    for (int64_t k = 0; k < f.rows(); k += 5) {
      const Eigen::VectorXd v = f.row(k).transpose().cast<double>();
      sum += v;
      moments.selfadjointView<Eigen::Lower>().rankUpdate(v);
      ++count;
    }
  sum /= count;
  moments = moments.selfadjointView<Eigen::Lower>();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(moments / count -
                                                              sum * sum.transpose());
  const auto channels = std::min<int64_t>(3, sum.size());
  // Largest last; each in units of two standard deviations.
  Eigen::MatrixXf main = solver.eigenvectors().rightCols(channels).cast<float>();
  for (int64_t c = 0; c < channels; ++c)
    main.col(c) /=
        2 * std::sqrt(float(std::max(1e-12, solver.eigenvalues()[sum.size() - channels + c])));
  const Eigen::RowVectorXf mean = sum.transpose().cast<float>() * main;
  Tensor images[2];
  for (size_t i = 0; i < 2; ++i) {
    const Tensor& f = i == 0 ? features0 : features1;
    images[i] = Tensor::empty({f.dim(0), f.dim(1), 3}, DType::u8);
    const Rows reduced = (both[i] * main).rowwise() - mean;
    uint8_t* pixel = images[i].data<uint8_t>();
    for (int64_t k = 0; k < reduced.rows(); ++k, pixel += 3) {
      const auto part = [&](int64_t c) {
        return c <= channels ? std::clamp(double(reduced(k, channels - c)), -1.0, 1.0) : 0;
      };
      const double light = 128 + 90 * part(1), cb = 80 * part(2), cr = 70 * part(3);
      const double rgb[] = {light + 1.402 * cr, light - 0.344 * cb - 0.714 * cr,
                            light + 1.772 * cb};
      for (size_t c = 0; c < 3; ++c) pixel[c] = uint8_t(std::clamp(std::lround(rgb[c]), 0L, 255L));
    }
  }
  double kept = 0, all = 0;
  for (int64_t c = 0; c < sum.size(); ++c) {
    all += solver.eigenvalues()[c];
    if (c >= sum.size() - channels) kept += solver.eigenvalues()[c];
  }
  return {side_by_side(images[0], images[1], gap),
          {{{},
            cat("features: three main directions of ", sum.size(), ", ",
                std::lround(100 * kept / std::max(1e-12, all)), "% of the variance")}}};
}

std::optional<Homography> common_plane(const ShownPair& p) {
  const TwoView plane =
      estimate_geometry(Geometry::homography, p.matches,
                        {.threshold = 3 * std::max(1.0, unit_of(p.image0)), .best_first = true});
  if (plane.inliers < 12 || 2 * size_t(plane.inliers) < p.matches.size()) return std::nullopt;
  return plane.matrix;
}

Picture draw_overlay(const ShownPair& p, const Homography& map) {
  const Tensor gray0 = to_gray(p.image0);
  const Warped other = seen_from_0(p, map);
  const Tensor gray1 = to_gray(other.image);
  Tensor image = Tensor::empty({gray0.dim(0), gray0.dim(1), 3}, DType::u8);
  for (int64_t k = 0; k < gray0.numel(); ++k) {
    const uint8_t a = gray0.data<uint8_t>()[k];
    uint8_t* pixel = image.data<uint8_t>() + 3 * k;
    if (other.seen[size_t(k)]) {
      pixel[0] = pixel[1] = a;
      pixel[2] = gray1.data<uint8_t>()[k];
    } else {
      std::fill_n(pixel, 3, uint8_t(a / 3));
    }
  }
  return {
      image,
      {{{yellow}, "photo A"}, {{blue}, "photo B, warped"}, {{}, "gray: they agree, dark: only A"}}};
}

Picture draw_checkerboard(const ShownPair& p, const Homography& map) {
  Tensor image = to_rgb(p.image0).clone();
  const Warped other = seen_from_0(p, map);
  const int64_t h = image.dim(0), w = image.dim(1);
  const int64_t side = std::max<int64_t>(1, std::max(h, w) / 10);
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x)
      if (const int64_t k = y * w + x; (x / side + y / side) % 2 == 1 && other.seen[size_t(k)])
        std::copy_n(other.image.data<uint8_t>() + 3 * k, 3, image.data<uint8_t>() + 3 * k);
  return {image, {{{}, "fields of photo A and of photo B, warped"}}};
}

}  // namespace cairn::ucn

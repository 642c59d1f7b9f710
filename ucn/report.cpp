#include "ucn/report.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base64.h"
#include "tensor/kernels/bilinear/bilinear.h"
#include "ucn/report/page.h"

namespace cairn::ucn {
namespace {

using nlohmann::ordered_json;
using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One photo's features at the centres of its cells, rows of unit length; zeros beyond the view.
struct Sampled {
  int64_t rows, columns;
  Rows features;
};
Sampled sampled(const PreparedPhoto& p, const PhotoView& view, int64_t cells) {
  const auto h = double(p.photo.pixels.dim(0)), w = double(p.photo.pixels.dim(1));
  const double side = std::max(h, w) / double(cells);
  Sampled s{std::max<int64_t>(1, std::llround(h / side)),
            std::max<int64_t>(1, std::llround(w / side)),
            {}};
  const Tensor& dense = view.features.dense;
  const Homography to_view = inverse(view.to_photo);
  const int64_t n = s.rows * s.columns;
  Tensor at = Tensor::empty({n, 2}, DType::f32);
  std::vector<bool> seen;
  for (int64_t k = 0; k < n; ++k) {
    const auto centre = [](int64_t cell, int64_t count, double extent) {
      return std::clamp((double(cell) + 0.5) * extent / double(count) - 0.5, 0.0, extent - 1);
    };
    const Point q =
        apply(to_view, centre(k % s.columns, s.columns, w), centre(k / s.columns, s.rows, h));
    seen.push_back(q[0] >= 0 && q[1] >= 0 && q[0] <= double(dense.dim(1) - 1) &&
                   q[1] <= double(dense.dim(0) - 1));
    for (size_t i = 0; i < 2; ++i)
      at.data<float>()[2 * size_t(k) + i] = seen.back() ? float(q[i]) : 0;
  }
  const Tensor values = kernels::bilinear_sample(dense, at.to(dense.device())).to(Device::cpu);
  s.features = Eigen::Map<const Rows>(values.data<float>(), n, dense.dim(2));
  for (int64_t k = 0; k < n; ++k) {
    const float norm = s.features.row(k).norm();
    s.features.row(k) *= seen[size_t(k)] && norm > 0 ? 1 / norm : 0;
  }
  return s;
}

ordered_json to_json(const ReportPhoto& p) {
  return {{"name", p.name}, {"width", p.width}, {"height", p.height}, {"jpeg", base64(p.jpeg)}};
}

ordered_json to_json(const FeatureGrid& g) {
  return {{"rows", g.rows},
          {"columns", g.columns},
          {"channels", g.channels},
          {"bytes", base64({reinterpret_cast<const uint8_t*>(g.values.data()), g.values.size()})}};
}

ordered_json to_json(const ReportPair& p) {
  const bool verified = !p.inlier.empty();
  const bool confident = !p.matches.empty() && p.matches[0].confidence >= 0;
  ordered_json j = {{"a", p.photo0},
                    {"b", p.photo1},
                    {"verified", verified},
                    {"confident", confident},
                    {"same", p.same_scene}};
  j["geometry"] = p.geometry + (p.geometry == "homography" ? "" : " matrix");
  const auto flags = std::ranges::count(p.inlier, 1);
  j["found"] = p.found < 0 ? int64_t(p.matches.size()) : p.found;
  j["inliers"] = !verified ? -1 : p.found < 0 ? flags : p.found_inliers;
  const auto rounded = [](double v, double steps) { return std::round(v * steps) / steps; };
  auto& rows = j["matches"] = ordered_json::array();
  for (size_t k = 0; k < p.matches.size(); ++k) {
    const Correspondence& m = p.matches[k];
    rows.push_back({rounded(m.x0, 10), rounded(m.y0, 10), rounded(m.x1, 10), rounded(m.y1, 10),
                    rounded(m.score, 1000), rounded(std::max(0.0, m.confidence), 1000),
                    verified ? int(p.inlier[k]) : 0});
  }
  for (const FeatureGrid& g : p.grids) j["grids"].push_back(to_json(g));
  return j;
}

void replace(std::string& text, const std::string& what, const std::string& by) {
  text.replace(text.find(what), what.size(), by);
}

}  // namespace

std::vector<FeatureGrid> feature_grids(const PreparedPhoto& photo0, const PhotoView& view0,
                                       const PreparedPhoto& photo1, const PhotoView& view1,
                                       int64_t cells, int64_t channels) {
  if (!view0.features.dense.defined() || !view1.features.dense.defined()) return {};
  const Sampled both[] = {sampled(photo0, view0, cells), sampled(photo1, view1, cells)};
  // About the origin, not the mean: cosines are to stay what they are.
  Eigen::MatrixXf moments = both[0].features.transpose() * both[0].features;
  moments += both[1].features.transpose() * both[1].features;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXf> solver(moments);
  channels = std::min<int64_t>(channels, moments.rows());
  const Eigen::MatrixXf main = solver.eigenvectors().rightCols(channels);
  std::vector<FeatureGrid> grids;
  for (const Sampled& s : both) {
    FeatureGrid g{s.rows, s.columns, channels, {}};
    Rows reduced = s.features * main;
    for (int64_t k = 0; k < reduced.rows(); ++k) {
      const float norm = reduced.row(k).norm();
      for (int64_t c = 0; c < channels; ++c)
        g.values.push_back(norm > 0 ? int8_t(std::lround(127 * reduced(k, c) / norm)) : 0);
    }
    grids.push_back(std::move(g));
  }
  return grids;
}

ReportPhoto report_photo(const std::string& name, const Image& upright, int64_t longest,
                         int quality) {
  const int64_t h = upright.height(), w = upright.width(), side = std::max(h, w);
  const Tensor shown = side <= longest
                           ? upright.pixels
                           : resize_area(upright.pixels, std::max<int64_t>(1, h * longest / side),
                                         std::max<int64_t>(1, w * longest / side));
  return {name, w, h, encode_jpeg(shown, quality)};
}

std::string to_html(const Report& report) {
  const char* op = "report";
  require(!report.pairs.empty(), ErrorId::argument, op, "there is no pair of photos to show");
  ordered_json data;
  for (const ReportPhoto& p : report.photos) data["photos"].push_back(to_json(p));
  for (const ReportPair& p : report.pairs) {
    require(std::max(p.photo0, p.photo1) < report.photos.size() &&
                (p.inlier.empty() || p.inlier.size() == p.matches.size()),
            ErrorId::argument, op, "a pair of photos ", p.photo0, " and ", p.photo1, " of ",
            report.photos.size(), " has ", p.matches.size(), " matches and ", p.inlier.size(),
            " flags");
    data["pairs"].push_back(to_json(p));
  }
  data["about"] = report.about;
  std::string json = data.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  // Nothing in it may end the script that holds it.
  for (size_t at = 0; (at = json.find('<', at)) != std::string::npos;)
    json.replace(at, 1, "\\u003c");
  std::string page = page_html;
  replace(page, "@CSS@", page_css);
  replace(page, "@JS@", page_js);
  replace(page, "@DATA@", json);
  return page;
}

}  // namespace cairn::ucn

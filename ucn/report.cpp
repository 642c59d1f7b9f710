#include "ucn/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/base64.h"
#include "ucn/report/page.h"

namespace cairn::ucn {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const FeatureGrid& g) {
  return {{"rows", g.rows},
          {"columns", g.columns},
          {"channels", g.channels},
          {"bytes", base64({reinterpret_cast<const uint8_t*>(g.values.data()), g.values.size()})}};
}

ordered_json to_json(const ReportPhoto& p) {
  ordered_json j = {
      {"name", p.name}, {"width", p.width}, {"height", p.height}, {"jpeg", base64(p.jpeg)}};
  if (p.grid.rows > 0) j["grid"] = to_json(p.grid);
  return j;
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
  const auto add = [&](const Correspondence& m, bool agrees, size_t removed_by) {
    rows.push_back({rounded(m.x0, 10), rounded(m.y0, 10), rounded(m.x1, 10), rounded(m.y1, 10),
                    rounded(m.score, 1000), rounded(std::max(0.0, m.confidence), 1000),
                    verified && agrees ? 1 : 0});
    if (removed_by > 0) rows.back().push_back(removed_by);
  };
  for (size_t k = 0; k < p.matches.size(); ++k) add(p.matches[k], verified && p.inlier[k] == 1, 0);
  auto& filters = j["filters"] = ordered_json::array();
  for (const ReportPair::Filter& f : p.filters) {  // a row's last number tells which, from 1
    filters.push_back({f.name, f.removed});
    for (size_t k = 0; k < f.shown.size(); ++k) add(f.shown[k], f.agrees[k] == 1, filters.size());
  }
  for (const FeatureGrid& g : p.grids) j["grids"].push_back(to_json(g));
  return j;
}

void replace(std::string& text, const std::string& what, const std::string& by) {
  text.replace(text.find(what), what.size(), by);
}

}  // namespace

ReportPhoto report_photo(const std::string& name, const Image& upright, int64_t longest,
                         int quality) {
  const int64_t h = upright.height(), w = upright.width(), side = std::max(h, w);
  const Tensor shown = side <= longest
                           ? upright.pixels
                           : resize_area(upright.pixels, std::max<int64_t>(1, h * longest / side),
                                         std::max<int64_t>(1, w * longest / side));
  return {name, w, h, encode_jpeg(shown, quality), {}};
}

std::string to_html(const Report& report) {
  const char* op = "report";
  require(!report.pairs.empty(), ErrorId::argument, op, "there is no pair of photos to show");
  ordered_json data;
  for (const ReportPhoto& p : report.photos) data["photos"].push_back(to_json(p));
  for (const ReportPair& p : report.pairs) {
    require(std::max(p.photo0, p.photo1) < report.photos.size() &&
                (p.inlier.empty() || p.inlier.size() == p.matches.size()) &&
                std::ranges::all_of(
                    p.filters,
                    [](const ReportPair::Filter& f) { return f.agrees.size() == f.shown.size(); }),
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

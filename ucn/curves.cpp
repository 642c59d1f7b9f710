#include "ucn/curves.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tensor/error.h"

namespace cairn::ucn {
namespace {

struct Series {
  const char *key, *label, *color;
};
struct Panel {
  const char* title;
  std::vector<Series> series;
};

// Colours of Okabe and Ito, which people who see fewer colours tell apart too.
constexpr const char *blue = "#0072b2", *orange = "#d55e00", *green = "#009e73", *gray = "#666666";

const std::vector<Panel>& panels() {
  static const std::vector<Panel> all = {
      {"loss",
       {{"loss", "all", gray}, {"positive", "positives", blue}, {"negative", "negatives", orange}}},
      {"hit ratio",
       {{"hit_ratio", "watched", gray},
        {"val_hit_ratio", "held out", blue},
        {"val_reciprocity_ratio", "reciprocity", orange},
        {"val_reciprocity_hit_ratio", "both", green}}},
      {"learning rate", {{"lr", "", blue}}},
      {"gradient norm", {{"grad_norm", "", blue}}},
      {"seconds a step",
       {{"step_seconds", "whole step", blue}, {"data_seconds", "waiting for data", orange}}},
  };
  return all;
}

constexpr double width = 420, height = 240, left = 60, right = 15, top = 34, bottom = 30;

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", v);
  return text;
}
std::string text(double x, double y, const char* anchor, const std::string& what,
                 const std::string& more = "") {
  char at[96];
  std::snprintf(at, sizeof at, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", x, y, anchor);
  return cat(at, more, ">", what, "</text>\n");
}
std::string segment(double x0, double y0, double x1, double y1) {
  char line[128];
  std::snprintf(line, sizeof line, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#ddd\"/>\n", x0, y0,
                x1, y1);
  return line;
}

/// The panel's lines; empty if there is nothing to draw.
std::string draw(const Panel& panel, const std::vector<LogLine>& lines) {
  struct Point {
    double x, y;
  };
  std::vector<std::vector<Point>> curves;
  double most_x = 1, low = INFINITY, high = -INFINITY;
  for (const Series& s : panel.series) {
    auto& points = curves.emplace_back();
    for (const LogLine& line : lines)
      for (const auto& [key, value] : line.values)
        if (key == s.key && std::isfinite(value)) {
          points.push_back({double(line.iteration), value});
          most_x = std::max(most_x, double(line.iteration));
          low = std::min(low, value);
          high = std::max(high, value);
        }
  }
  if (!(low <= high)) return "";
  if (low >= 0) low = 0;  // all of these begin at 0 by nature
  if (high - low < 1e-12) high = low + 1;
  const auto at_x = [&](double x) { return left + x / most_x * (width - left - right); };
  const auto at_y = [&](double y) {
    return height - bottom - (y - low) / (high - low) * (height - top - bottom);
  };
  std::string svg = text(left, 18, "start", panel.title, " font-weight=\"bold\"");
  for (int i = 0; i <= 4; ++i) {
    const double y = low + (high - low) * i / 4, x = most_x * i / 4;
    svg += segment(left, at_y(y), width - right, at_y(y));
    svg += text(left - 6, at_y(y) + 4, "end", number(y));
    svg += text(at_x(x), height - 10, i == 4 ? "end" : "middle", number(std::round(x)));
  }
  double legend = width - right;
  for (size_t i = panel.series.size(); i-- > 0;) {
    const auto& points = curves[i];
    const Series& s = panel.series[i];
    if (points.empty()) continue;
    svg += cat("<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"", s.color, "\" points=\"");
    for (const Point& p : points) {
      char at[64];
      std::snprintf(at, sizeof at, "%.1f,%.1f ", at_x(p.x), at_y(p.y));
      svg += at;
    }
    svg += "\"/>\n";
    if (points.size() == 1)
      svg += cat("<circle r=\"3\" cx=\"", at_x(points[0].x), "\" cy=\"", at_y(points[0].y),
                 "\" fill=\"", s.color, "\"/>\n");
    if (!*s.label) continue;
    svg += text(legend, 18, "end", s.label, cat(" fill=\"", s.color, "\""));
    legend -= 6.2 * double(std::string_view(s.label).size()) + 12;
  }
  return svg;
}

}  // namespace

std::string draw_curves(const std::vector<LogLine>& lines) {
  std::string inside;
  int drawn = 0;
  for (const Panel& panel : panels()) {
    const std::string one = draw(panel, lines);
    if (one.empty()) continue;
    inside += cat("<g transform=\"translate(", drawn % 2 * width, " ", drawn / 2 * height, ")\">\n",
                  one, "</g>\n");
    ++drawn;
  }
  const double rows = std::max(1, (drawn + 1) / 2);
  return cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", 2 * width, " ",
             rows * height, "\" font-family=\"sans-serif\" font-size=\"11\">\n",
             "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", inside, "</svg>\n");
}

}  // namespace cairn::ucn

#include "chart.hpp"

#include "axis.hpp"
#include "svg.hpp"

#include <retrace/core.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace history {
namespace {

constexpr Stroke grid{"#e5e8ec"};
constexpr Stroke axis{"#8a94a0"};
constexpr Stroke baseline{"#4a5560", 1.2, 1, "6 4"};
constexpr std::string_view colours[] = {"#2b6cb0", "#c2410c", "#2f855a", "#6b46c1",
                                        "#b7791f", "#d53f8c", "#0d9bb5", "#6b3a1e"};
constexpr std::string_view dashes[] = {"", "6 5", "1 5"};  // each for one round of the colours
constexpr double dot_radius = 3.2;
constexpr std::size_t most_dots = 50;

/// The mean of each point and its neighbours: a 50th of all points on either side, fewer near the
/// beginning, where a loss falls steeply, and as many as there are after it at the end.
std::vector<Point> smoothed(const std::vector<Point>& points) {
  std::vector<double> sum{0};
  std::vector<double> count{0};
  for (const Point& point : points) {
    sum.push_back(sum.back() + (is_drawable(point) ? point.y : 0));
    count.push_back(count.back() + (is_drawable(point) ? 1 : 0));
  }
  std::vector<Point> means = points;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!is_drawable(points[i])) continue;
    const std::size_t before = std::min(points.size() / 50, i / 4);
    const std::size_t after = std::min(before, points.size() - 1 - i);
    means[i].y =
        (sum[i + after + 1] - sum[i - before]) / (count[i + after + 1] - count[i - before]);
  }
  return means;
}

/// A line of the picture and its entry in the legend.
struct Line {
  enum Kind { dotted, raw, trend } kind;  // a trend follows its raw line
  std::string label;
  Stroke stroke;
  std::vector<Point> points;
  Pixel key = {};  // where its entry begins
};

std::vector<Line> lines_of(const std::vector<Curve>& curves) {
  std::vector<Line> lines;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const auto& [name, points] = curves[i];
    const std::string_view colour = colours[i % std::size(colours)];
    const std::string_view dash = dashes[i / std::size(colours) % std::size(dashes)];
    const auto last = std::find_if(points.rbegin(), points.rend(), is_drawable);
    if (points.size() > most_dots) {
      lines.push_back({Line::raw, name, {colour, 1, 0.28}, points});
      lines.push_back({Line::trend, "smoothed", {colour, 2.2, 1, dash}, smoothed(points)});
    } else if (last != points.rend()) {
      const std::string label = fmt::format("{}, {:.3f} at the end", name, last->y);
      lines.push_back({Line::dotted, label, {colour, 1.2, 0.5, dash}, points});
    }
  }
  return lines;
}

/// Of an entry of the legend and the gap after it: nobody here knows the width of a letter.
double key_width(const Line& line) { return 56 + 5.8 * static_cast<double>(line.label.size()); }

/// Places the entries of the legend in rows that end at `right`, a trend beside its raw line if
/// there is room; returns the height of the rows after the first.
int place_keys(std::vector<Line>& lines, Pixel first, double right) {
  constexpr int row = 17;
  int below = 0;
  double x = first.x;
  for (auto line = lines.begin(); line != lines.end(); ++line) {
    const double width = key_width(*line);
    const double wanted = line->kind == Line::raw ? width + key_width(line[1]) : width;
    if (x > first.x && x + wanted > right) {
      x = first.x;
      below += row;
    }
    line->key = {x, first.y + below};
    x += width;
  }
  return below;
}

class Chart {
 public:
  Chart(const std::vector<Curve>& curves, const ChartOptions& options)
      : options_(options),
        lines_(lines_of(curves)),
        svg_(options.width, options.height + more_rows_, options.title) {
    std::size_t longest = 0;
    for (const Baseline& line : options.baselines) longest = std::max(longest, line.label.size());
    if (longest > 0)
      right_ -= std::min(34 + 6.6 * static_cast<double>(longest), options.width * 0.3);
    for (const Line& line : lines_) {
      for (const Point& point : line.points) {
        if (!is_drawable(point)) continue;
        x_.include(point.x);
        y_.include(point.y);
      }
    }
    is_blank_ = x_.empty();
    for (const Baseline& line : options.baselines) {
      if (is_drawable({0, line.value})) y_.include(line.value);
    }
    if (x_.low > 0 && x_.low < 0.1 * x_.high)
      x_.low = 0;  // steps may count from 1, or be averages over the first few
    x_ = x_.widened(0);
    y_ = y_.widened(0.05);
  }

  std::string draw() {
    svg_.heading({24, 32}, options_.title);
    svg_.text({24, 51}, options_.subtitle);
    draw_axes();
    draw_baselines();
    draw_curves();
    if (is_blank_)
      svg_.text({(left_ + right_) / 2, (top_ + bottom_) / 2}, "no losses to show", Anchor::middle);
    return svg_.str();
  }

 private:
  void draw_axes() {
    const Ticks y_ticks =
        nice_ticks(y_.low, y_.high, std::max(2, static_cast<int>((bottom_ - top_) / 50)));
    for (const double y : y_ticks.values) {
      svg_.line({left_, y_at(y)}, {right_, y_at(y)}, grid);
      svg_.text({left_ - 9, y_at(y) + 4}, tick_label(y, y_ticks.step), Anchor::end);
    }
    // Not closer than 1: there are no fractions of a step.
    const double x_wanted = std::clamp((right_ - left_) / 100, 1.0, std::max(1.0, x_.length()));
    const Ticks x_ticks = nice_ticks(x_.low, x_.high, static_cast<int>(x_wanted));
    for (const double x : x_ticks.values) {
      svg_.line({x_at(x), bottom_}, {x_at(x), bottom_ + 5}, axis);
      svg_.text({x_at(x), bottom_ + 20}, tick_label(x, x_ticks.step), Anchor::middle);
    }
    svg_.line({left_, bottom_}, {right_, bottom_}, axis);
    svg_.text({(left_ + right_) / 2, bottom_ + 43}, options_.x_label, Anchor::middle);
    svg_.upward_text({28, (top_ + bottom_) / 2}, options_.y_label);
  }

  /// The labels stand in the right margin, moved down where they would overlap.
  void draw_baselines() {
    std::vector<Baseline> lines = options_.baselines;
    std::erase_if(lines, [](const Baseline& line) { return !is_drawable({0, line.value}); });
    std::stable_sort(lines.begin(), lines.end(),
                     [](const auto& a, const auto& b) { return a.value > b.value; });
    double label_y = 0;
    for (const Baseline& line : lines) {
      const double y = y_at(line.value);
      label_y = std::max(y + 4, label_y + 15);
      svg_.line({left_, y}, {right_, y}, baseline);
      svg_.text({right_ + 8, label_y}, fmt::format("{} {:.3f}", line.label, line.value));
    }
  }

  void draw_curves() {
    for (const Line& line : lines_) {
      svg_.path(thinned(line.points), line.stroke);
      svg_.line(line.key, {line.key.x + 22, line.key.y}, line.stroke);
      svg_.text({line.key.x + 29, line.key.y + 4}, line.label);
      if (line.kind != Line::dotted) continue;
      svg_.dot({line.key.x + 11, line.key.y}, dot_radius, line.stroke.colour);
      for (const Point& point : line.points) {
        if (is_drawable(point))
          svg_.dot({x_at(point.x), y_at(point.y)}, dot_radius, line.stroke.colour);
      }
    }
  }

  double x_at(double x) const { return left_ + (x - x_.low) / x_.length() * (right_ - left_); }
  double y_at(double y) const { return bottom_ - (y - y_.low) / y_.length() * (bottom_ - top_); }

  /// The pixels of `points`: of those in the same column only the lowest and the highest, which
  /// looks the same.
  std::vector<Pixel> thinned(const std::vector<Point>& points) const {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    std::vector<Pixel> pixels;
    for (std::size_t i = 0; i < points.size();) {
      if (!is_drawable(points[i])) {
        pixels.push_back({nan, nan});
        ++i;
        continue;
      }
      const double column = std::floor(x_at(points[i].x));
      std::size_t low = i;
      std::size_t high = i;
      for (; i < points.size() && is_drawable(points[i]) && std::floor(x_at(points[i].x)) == column;
           ++i) {
        if (points[i].y < points[low].y) low = i;
        if (points[i].y > points[high].y) high = i;
      }
      for (const std::size_t kept : {std::min(low, high), std::max(low, high)}) {
        pixels.push_back({x_at(points[kept].x), y_at(points[kept].y)});
        if (low == high) break;
      }
    }
    return pixels;
  }

  const ChartOptions& options_;
  std::vector<Line> lines_;
  double left_ = 84;
  double right_ = options_.width - 28.0;
  double legend_y_ = options_.subtitle.empty() ? 60 : 77;
  int more_rows_ = place_keys(lines_, {left_, legend_y_}, right_);  // their height
  double top_ = legend_y_ + more_rows_ + 18;
  double bottom_ = options_.height + more_rows_ - 62.0;
  Svg svg_;
  Range x_;
  Range y_;
  bool is_blank_ = false;
};

}  // namespace

bool is_drawable(const Point& point) {
  return std::abs(point.x) < 1e12 && std::abs(point.y) < 1e12;
}

std::string chart_svg(const std::vector<Curve>& curves, const ChartOptions& options) {
  retrace::require(options.width >= 560 && options.height >= 240,
                   "chart: {} x {} pixels is below 560 x 240", options.width, options.height);
  return Chart(curves, options).draw();
}

}  // namespace history

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
constexpr std::string_view colours[] = {"#2b6cb0", "#c2410c", "#2f855a", "#6b46c1", "#b7791f"};
constexpr double dot_radius = 3.2;
constexpr std::size_t most_dots = 50;

/// The mean of each point and its neighbours: a 50th of all points on either side, fewer near the beginning, where a
/// loss falls steeply, and as many as there are after it at the end.
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
    means[i].y = (sum[i + after + 1] - sum[i - before]) / (count[i + after + 1] - count[i - before]);
  }
  return means;
}

class Chart {
 public:
  Chart(const std::vector<Curve>& curves, const ChartOptions& options)
      : curves_(curves), options_(options), svg_(options.width, options.height, options.title) {
    std::size_t longest = 0;
    for (const Baseline& line : options.baselines) longest = std::max(longest, line.label.size());
    if (longest > 0) right_ -= std::min(34 + 6.6 * static_cast<double>(longest), options.width * 0.3);
    for (const Curve& curve : curves) {
      for (const Point& point : curve.points) {
        if (!is_drawable(point)) continue;
        x_.include(point.x);
        y_.include(point.y);
      }
    }
    is_blank_ = x_.empty();
    for (const Baseline& line : options.baselines) {
      if (is_drawable({0, line.value})) y_.include(line.value);
    }
    if (x_.low > 0 && x_.low < 0.1 * x_.high) x_.low = 0;  // steps may count from 1, or be averages over the first few
    x_ = x_.widened(0);
    y_ = y_.widened(0.05);
  }

  std::string draw() {
    svg_.heading({24, 32}, options_.title);
    svg_.text({24, 51}, options_.subtitle);
    draw_axes();
    draw_baselines();
    draw_curves();
    if (is_blank_) svg_.text({(left_ + right_) / 2, (top_ + bottom_) / 2}, "no losses to show", Anchor::middle);
    return svg_.str();
  }

 private:
  void draw_axes() {
    const Ticks y_ticks = nice_ticks(y_.low, y_.high, std::max(2, static_cast<int>((bottom_ - top_) / 50)));
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
    std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.value > b.value; });
    double label_y = 0;
    for (const Baseline& line : lines) {
      const double y = y_at(line.value);
      label_y = std::max(y + 4, label_y + 15);
      svg_.line({left_, y}, {right_, y}, baseline);
      svg_.text({right_ + 8, label_y}, fmt::format("{} {:.3f}", line.label, line.value));
    }
  }

  void draw_curves() {
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      const std::string_view colour = colours[i % std::size(colours)];
      if (curves_[i].points.size() <= most_dots)
        draw_joined_dots(curves_[i], colour);
      else
        draw_smoothed(curves_[i], colour);
    }
  }

  void draw_smoothed(const Curve& curve, std::string_view colour) {
    const Stroke raw{colour, 1, 0.28}, trend{colour, 2.2};
    svg_.path(thinned(curve.points), raw);
    svg_.path(thinned(smoothed(curve.points)), trend);
    draw_key(curve.name, raw);
    draw_key("smoothed", trend);
  }

  void draw_joined_dots(const Curve& curve, std::string_view colour) {
    const auto last = std::find_if(curve.points.rbegin(), curve.points.rend(), is_drawable);
    if (last == curve.points.rend()) return;
    const Stroke line{colour, 1.2, 0.5};
    svg_.path(thinned(curve.points), line);
    draw_dots(curve.points, colour);
    const double middle = draw_key(fmt::format("{}, {:.3f} at the end", curve.name, last->y), line);
    svg_.dot({middle, legend_y_}, dot_radius, colour);
  }

  void draw_dots(const std::vector<Point>& points, std::string_view colour) {
    for (const Point& point : points) {
      if (is_drawable(point)) svg_.dot({x_at(point.x), y_at(point.y)}, dot_radius, colour);
    }
  }

  /// One more entry of the legend, in a row above the plot; returns the middle of its line.
  double draw_key(const std::string& label, const Stroke& stroke) {
    const double x = legend_x_;
    svg_.line({x, legend_y_}, {x + 22, legend_y_}, stroke);
    svg_.text({x + 29, legend_y_ + 4}, label);
    legend_x_ += 56 + 5.8 * static_cast<double>(label.size());  // nobody here knows the width of a letter
    return x + 11;
  }

  double x_at(double x) const { return left_ + (x - x_.low) / x_.length() * (right_ - left_); }
  double y_at(double y) const { return bottom_ - (y - y_.low) / y_.length() * (bottom_ - top_); }

  /// The pixels of `points`: of those in the same column only the lowest and the highest, which looks the same.
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
      for (; i < points.size() && is_drawable(points[i]) && std::floor(x_at(points[i].x)) == column; ++i) {
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

  const std::vector<Curve>& curves_;
  const ChartOptions& options_;
  Svg svg_;
  Range x_;
  Range y_;
  bool is_blank_ = false;
  double left_ = 84;
  double legend_y_ = options_.subtitle.empty() ? 60 : 77;
  double top_ = legend_y_ + 18;
  double right_ = options_.width - 28.0;
  double bottom_ = options_.height - 62.0;
  double legend_x_ = 84;
};

}  // namespace

bool is_drawable(const Point& point) { return std::abs(point.x) < 1e12 && std::abs(point.y) < 1e12; }

std::string chart_svg(const std::vector<Curve>& curves, const ChartOptions& options) {
  retrace::require(options.width >= 560 && options.height >= 240, "chart: {} x {} pixels is below 560 x 240",
                   options.width, options.height);
  return Chart(curves, options).draw();
}

}  // namespace history

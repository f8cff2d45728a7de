// A picture of a training run: loss curves and baselines as an SVG file.
#pragma once

#include <string>
#include <vector>

namespace history {

/// One measurement: `x` is a step, `y` a loss.
struct Point {
  double x = 0;
  double y = 0;
};

/// Whether charts and sparklines show a point: not infinities, NaN, and what a diverged run may
/// yield, 1e12 and more, which would leave nothing of the scale.
bool is_drawable(const Point& point);

/// Measurements in the order of x.
struct Curve {
  std::string name;
  std::vector<Point> points;
};

/// A loss to compare with, drawn as a dashed line across the chart.
struct Baseline {
  std::string label;
  double value = 0;
};

/// Words, size and baselines of a chart.
struct ChartOptions {
  std::string title = "Loss during training";
  std::string subtitle = "";
  std::string x_label = "step";
  std::string y_label = "loss";
  int width = 860;   ///< pixels
  int height = 500;  ///< pixels, to which a legend of several rows adds those after the first
  std::vector<Baseline> baselines = {};
};

/// The curves as the text of a self-contained SVG file on white. A curve of at most 50 points is
/// drawn as joined dots, a longer one faint as it is and smoothed by a moving mean; up to 24 are
/// told apart. What cannot be drawn leaves a gap; there may be no curves. The size does not grow
/// with the number of points beyond a few per pixel. Throws retrace::Error if the chart is smaller
/// than 560 x 240 pixels.
std::string chart_svg(const std::vector<Curve>& curves, const ChartOptions& options = {});

}  // namespace history

// A picture of a training run: loss curves and baselines as an SVG file.
#pragma once

#include <string>
#include <vector>

namespace words {

/// One measurement: `x` is a step, `y` a loss.
struct ChartPoint {
  double x = 0;
  double y = 0;
};

/// A loss to compare with, drawn as a dashed line across the chart.
struct ChartBaseline {
  std::string label;
  double value = 0;
};

/// What a chart shows. Points are in the order of x. Points that are not finite leave a gap; any part may be empty.
struct ChartSeries {
  std::vector<ChartPoint> training;  ///< drawn faint as it is, and smoothed by a moving mean
  std::vector<ChartPoint> held_out;  ///< drawn as joined dots
  std::vector<ChartBaseline> baselines;
};

/// Words and size of a chart.
struct ChartOptions {
  std::string title = "Loss during training";
  std::string subtitle = "";
  std::string x_label = "step";
  std::string y_label = "loss, nats per character";
  int width = 860;   ///< pixels
  int height = 500;  ///< pixels
};

/// The chart as the text of a self-contained SVG file on white. Its size does not grow with the number of training
/// points beyond a few per pixel. Throws retrace::Error if the chart is smaller than 560 x 240 pixels.
std::string chart_svg(const ChartSeries& series, const ChartOptions& options = {});

/// Writes `chart_svg` to the file `path`, by way of a temporary file beside it, so that a file of that name is replaced
/// as a whole or not at all. Throws retrace::Error, saying why, if that fails.
void write_chart(const std::string& path, const ChartSeries& series, const ChartOptions& options = {});

}  // namespace words

// The curves of a training run: kept, shown on a terminal, written as a table and as a picture.
#pragma once

#include "chart.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace history {

/// Loss curves, or others, by name. A curve begins with its first point and keeps its place among
/// the others.
class History {
 public:
  /// Adds a point to a curve. Throws retrace::Error unless the step is finite and not before the
  /// curve's last one; the value may be anything.
  void add(std::string_view curve, double step, double value);

  const std::vector<Curve>& curves() const { return curves_; }
  /// The points of a curve; none if there is no curve of that name.
  const std::vector<Point>& operator[](std::string_view curve) const;

  /// A curve in one line of block characters, as high as the terminal's line: "█▆▄▃▂▂▁▁". At most
  /// `width` columns, each the mean of as many points; × where none of them can be drawn (see
  /// is_drawable).
  std::string sparkline(std::string_view curve, int width = 60) const;

  /// A table with a column for the steps and one for each curve, empty where a curve has no point.
  /// Numbers read back to the same values; NaN and infinities are "nan", "inf" and "-inf". Of
  /// several points at one step the last counts.
  std::string csv() const;
  /// See chart_svg.
  std::string svg(const ChartOptions& options = {}) const { return chart_svg(curves_, options); }

  // Each replaces the file `path` as a whole or not at all. They throw retrace::Error, saying why,
  // if that fails.
  void write_csv(const std::string& path) const;
  void write_svg(const std::string& path, const ChartOptions& options = {}) const;

 private:
  std::vector<Curve> curves_;
};

}  // namespace history

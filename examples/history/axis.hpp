// Ranges, round ticks and their labels: the arithmetic of a chart's axes.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace history {

/// An interval that grows to hold what it is shown. Empty (low > high) at first.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  bool empty() const { return low > high; }
  double length() const { return high - low; }
  void include(double value);

  /// The range with `share` of its length added at both ends, and in any case long enough to be
  /// divided by: a single value gets room around it, an empty range becomes [0, 1].
  Range widened(double share) const;
};

/// Round numbers at equal distances, the ticks of an axis.
struct Ticks {
  double step = 0;  ///< 1, 2 or 5 times a power of ten
  std::vector<double> values;
};

/// About `wanted` ticks within [low, high]; none unless low < high by more than rounding errors.
Ticks nice_ticks(double low, double high, int wanted);

/// `value` with as many decimals as tell ticks that are `step` apart, and thousands separated:
/// "12,500", "2.25".
std::string tick_label(double value, double step);

}  // namespace history

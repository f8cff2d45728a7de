#include "axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace history {
namespace {

/// Shorter ranges, relative to their ends, are made of rounding errors.
constexpr double shortest = 1e-9;

bool is_point(double low, double high) {
  return high - low <= shortest * std::max(std::abs(low), std::abs(high));
}

}  // namespace

void Range::include(double value) {
  low = std::min(low, value);
  high = std::max(high, value);
}

Range Range::widened(double share) const {
  if (empty()) return {0, 1};
  const double margin = is_point(low, high) ? std::max(std::abs(low) * 0.1, 0.5) : length() * share;
  return {low - margin, high + margin};
}

Ticks nice_ticks(double low, double high, int wanted) {
  if (!(low < high) || is_point(low, high) || wanted < 1) return {};
  const double ideal = (high - low) / wanted;
  const double power = std::pow(10, std::floor(std::log10(ideal)));
  const double digit =
      ideal / power;  // 1 up to 10; the limits are the geometric means of the steps either side
  Ticks ticks;
  ticks.step = power * (digit < std::sqrt(2.0)    ? 1
                        : digit < std::sqrt(10.0) ? 2
                        : digit < std::sqrt(50.0) ? 5
                                                  : 10);
  const double slack = 1e-6;  // a tick that rounding puts just outside still counts
  const double first = std::ceil(low / ticks.step - slack);
  const double last = std::floor(high / ticks.step + slack);
  for (int i = 0; first + i <= last; ++i) ticks.values.push_back((first + i) * ticks.step);
  return ticks;
}

std::string tick_label(double value, double step) {
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-6)), 0, 12);
  std::string text = fmt::format("{:.{}f}", std::abs(value), decimals);
  for (std::size_t i = std::min(text.find('.'), text.size()); i > 3; i -= 3)
    text.insert(i - 3, 1, ',');
  return value < 0 ? "\u2212" + text : text;
}

}  // namespace history

#include "history.hpp"

#include <retrace/core.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace history {
namespace {

template <class Curves>
auto find(Curves& curves, std::string_view name) {
  return std::find_if(curves.begin(), curves.end(),
                      [&](const Curve& curve) { return curve.name == name; });
}

/// A field of a CSV file (RFC 4180).
std::string field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string{c};
  return quoted + '"';
}

void write(const std::string& path, std::string_view text) {
  retrace::replace_file(path, {&text, 1});
}

}  // namespace

void History::add(std::string_view curve, double step, double value) {
  retrace::require(std::isfinite(step), "history: step {} of '{}' is no number", step, curve);
  const auto found = find(curves_, curve);
  if (found == curves_.end()) {
    curves_.push_back({std::string(curve), {{step, value}}});
    return;
  }
  retrace::require(step >= found->points.back().x, "history: step {} of '{}' comes after step {}",
                   step, curve, found->points.back().x);
  found->points.push_back({step, value});
}

const std::vector<Point>& History::operator[](std::string_view curve) const {
  static const std::vector<Point> none;
  const auto found = find(curves_, curve);
  return found == curves_.end() ? none : found->points;
}

std::string History::sparkline(std::string_view curve, int width) const {
  const std::vector<Point>& points = (*this)[curve];
  const std::size_t columns = std::min(points.size(), static_cast<std::size_t>(std::max(width, 0)));
  std::vector<double> means;
  for (std::size_t i = 0; i < columns; ++i) {
    double sum = 0, count = 0;
    for (std::size_t k = i * points.size() / columns; k < (i + 1) * points.size() / columns; ++k) {
      if (!is_drawable(points[k])) continue;
      sum += points[k].y;
      ++count;
    }
    means.push_back(sum / count);  // NaN when there is none
  }

  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const double mean : means) {
    low = std::fmin(low, mean);  // which passes NaN over
    high = std::fmax(high, mean);
  }
  static constexpr const char* blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string line;
  for (const double mean : means) {
    const double height = high > low ? (mean - low) / (high - low) : 0;
    line += std::isnan(mean) ? "×" : blocks[std::lround(7 * height)];
  }
  return line;
}

std::string History::csv() const {
  std::map<double, std::vector<std::string>> rows;
  std::string text = "step";
  for (std::size_t i = 0; i < curves_.size(); ++i) {
    text += "," + field(curves_[i].name);
    for (const Point& point : curves_[i].points) {
      std::vector<std::string>& row = rows[point.x];
      row.resize(curves_.size());
      row[i] = fmt::format("{}", point.y);
    }
  }
  text += "\n";
  for (const auto& [step, row] : rows) text += fmt::format("{},{}\n", step, fmt::join(row, ","));
  return text;
}

void History::write_csv(const std::string& path) const { write(path, csv()); }

void History::write_svg(const std::string& path, const ChartOptions& options) const {
  write(path, svg(options));
}

}  // namespace history

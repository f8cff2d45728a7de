#include "anomaly.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <set>

#include "rule.hpp"

namespace retrace::detail {

const char* located(const char* op, const char* file, int line) {
  static std::mutex mutex;
  static auto& texts = *new std::set<std::string>;  // never freed: a graph may be the last to go
  const char* slash = std::strrchr(file, '/');
  const std::lock_guard lock(mutex);
  return texts.insert(fmt::format("{} at {}:{}", op, slash ? slash + 1 : file, line))
      .first->c_str();
}

void require_finite(const char* op, const Tensor& value, std::span<const Tensor> operands) {
  const ModeScope not_here(this_thread.detecting_anomalies, false);
  const auto elements_of = [](const Tensor& x) { return x.detach().to(f64).to_vector<double>(); };
  const std::vector<double> elements = elements_of(value);
  const auto kind = [](double v) { return std::isnan(v) ? 1 : std::isinf(v) ? 2 : 0; };
  if (std::ranges::none_of(elements, kind)) return;
  int given = 0;
  for (const Tensor& x : operands)
    if (x.defined())
      for (const double v : elements_of(x)) given |= kind(v);
  const auto at = std::ranges::find_if(elements, [&](double v) { return kind(v) & ~given; });
  if (at == elements.end()) return;
  std::string inputs;
  for_each_input(value.node(), [&](const Node& n) {
    inputs += fmt::format("{}{}", inputs.empty() ? " from " : ", ", n.shape);
  });
  Shape place = value.shape();
  for (int i = 0; i < place.rank(); ++i)
    place[i] = (at - elements.begin()) / row_major(value.shape())[i] % place[i];
  fail("'{}' {} made {} at {}{}", op, value.shape(), std::isnan(*at) ? "a NaN" : "an infinity",
       place, inputs);
}

}  // namespace retrace::detail

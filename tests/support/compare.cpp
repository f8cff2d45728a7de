#include "compare.hpp"

#include <cmath>
#include <ostream>

namespace retrace::test {
namespace {

bool agree(double a, double b, double rtol, double atol) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return a == b || std::abs(a - b) <= atol + rtol * std::abs(b);
}

std::string listed(const Tensor& x) {
  return fmt::format("{} {}:\n{}", x.dtype(), x.shape(),
                     x.size() <= 64 ? to_string(x) : std::string("..."));
}

template <class T>
Comparison compare(const Tensor& actual, const Tensor& expected, double rtol, double atol) {
  const std::vector<T> a = actual.to_vector<T>(), b = expected.to_vector<T>();
  std::size_t wrong = 0, first = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (agree(static_cast<double>(a[i]), static_cast<double>(b[i]), rtol, atol)) continue;
    if (wrong++ == 0) first = i;
  }
  if (wrong == 0) return {};
  return {false,
          fmt::format(
              "{} of {} elements differ, the first at {}: {} for {} (relative {:.2e})\n{}\nfor {}",
              wrong, a.size(), first, a[first], b[first],
              std::abs(static_cast<double>(a[first] - b[first]) / static_cast<double>(b[first])),
              listed(actual), listed(expected))};
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Comparison& comparison) {
  return out << (comparison.ok ? "agree" : comparison.text);
}

Comparison close(const Tensor& actual, const Tensor& expected, double rtol, double atol) {
  if (!actual.defined() || !expected.defined()) return {false, "an undefined tensor"};
  if (actual.shape() != expected.shape() || actual.dtype() != expected.dtype())
    return {false, fmt::format("{}\nfor {}", listed(actual), listed(expected))};
  return visit(actual.dtype(),
               [&]<class T>(T) { return compare<T>(actual, expected, rtol, atol); });
}

Comparison same(const Tensor& actual, const Tensor& expected) { return close(actual, expected, 0); }

Comparison same(const Tensor& actual, const Literal& expected) {
  return close(actual, expected, 0);
}

Comparison close(const Tensor& actual, const Literal& expected, double rtol, double atol) {
  return close(actual, tensor(expected, actual.dtype()), rtol, atol);
}

}  // namespace retrace::test

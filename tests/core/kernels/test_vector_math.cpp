#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../../../core/kernels/vector_math.hpp"
#include "core/ops/op_rows.hpp"
#include "support/compare.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using test::LimitedTo;
using test::vector_units;

namespace {

template <class T>
struct Function {
  std::string name;
  void (*of_array)(const T* from, T* to, std::int64_t n);
  long double (*exact)(long double x);
};

template <class T>
std::vector<Function<T>> functions() {
  return {{"tanh", vector_math::tanh, [](long double x) { return std::tanh(x); }},
          {"exp", vector_math::exp, [](long double x) { return std::exp(x); }},
          {"sigmoid", vector_math::sigmoid, [](long double x) {
             const long double e = std::exp(-std::abs(x));
             return (x < 0 ? e : 1) / (1 + e);
           }}};
}

template <class T>
std::vector<T> applied(const Function<T>& f, const std::vector<T>& xs) {
  std::vector<T> ys(xs.size());
  f.of_array(xs.data(), ys.data(), static_cast<std::int64_t>(xs.size()));
  return ys;
}

/// Distance of y from the exact value, in units of the last place of that value.
template <class T>
double ulps(T y, long double exact) {
  const T rounded = static_cast<T>(exact);
  if (std::isnan(rounded) || std::isinf(rounded) || rounded == 0)
    return std::isnan(rounded) ? !std::isnan(y) : y != rounded;
  const T size = std::abs(rounded), unit = size - std::nextafter(size, T{0});
  return static_cast<double>(std::abs(static_cast<long double>(y) - exact) /
                             static_cast<long double>(unit));
}

/// Every order of magnitude down to the denormal numbers, both signs, and a fine grid where the
/// functions bend.
template <class T>
std::vector<T> many_values() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> xs;
  for (int e = Limits::min_exponent - Limits::digits; e < Limits::max_exponent; ++e)
    for (const double m : {0.5, 0.7, -0.6, -0.999}) xs.push_back(static_cast<T>(std::ldexp(m, e)));
  for (double x = -110; x < 110; x += 0.0037) xs.push_back(static_cast<T>(x));
  for (double x = -760; x < 720; x += 0.37) xs.push_back(static_cast<T>(x));
  return xs;
}

}  // namespace

namespace {
template <class T>
void check_exactness() {
  CAPTURE(dtype_of<T>);
  const std::vector<T> xs = many_values<T>();
  for (const VectorUnit unit : vector_units()) {
    const LimitedTo scope(unit);
    for (const auto& f : functions<T>()) {
      const std::vector<T> ys = applied(f, xs);
      double worst = 0;
      T at = 0;
      for (std::size_t i = 0; i < xs.size(); ++i) {
        const double error = ulps(ys[i], f.exact(static_cast<long double>(xs[i])));
        if (error > worst) {
          worst = error;
          at = xs[i];
        }
      }
      INFO(f.name, " on unit ", static_cast<int>(unit), " at ", at);
      CHECK(worst <= (f.name == "tanh" ? 5.4 : 4));
    }
  }
}
}  // namespace

TEST_CASE("vector functions are exact to a few units of the last place") {
  check_exactness<float>();
  check_exactness<double>();
}

namespace {
template <class T>
void check_ends() {
  CAPTURE(dtype_of<T>);
  const T inf = std::numeric_limits<T>::infinity(), large = std::numeric_limits<T>::max();
  const std::vector<T> xs = {inf, -inf, large, -large, 0, T(-0.0)};
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(static_cast<int>(unit));
    const LimitedTo scope(unit);
    const auto f = functions<T>();
    CHECK(applied(f[0], xs) == std::vector<T>{1, -1, 1, -1, 0, 0});
    CHECK(std::signbit(applied(f[0], xs)[5]));
    CHECK(applied(f[1], xs) == std::vector<T>{inf, 0, inf, 0, 1, 1});
    CHECK(applied(f[2], xs) == std::vector<T>{1, 0, 1, 0, T(0.5), T(0.5)});
    for (const auto& each : f) {
      const std::vector<T> with_nan = applied(each, {1, std::numeric_limits<T>::quiet_NaN(), 1});
      CHECK(std::isnan(with_nan[1]));
      CHECK(with_nan[0] == with_nan[2]);
      CHECK(with_nan[0] == applied(each, {1})[0]);
    }
  }
}
}  // namespace

TEST_CASE("vector functions at the ends") {
  check_ends<float>();
  check_ends<double>();
}

namespace {
template <class T>
void check_places() {
  CAPTURE(dtype_of<T>);
  const std::vector<T> some = {T(0.3), T(-1.7), T(8.25), T(-0.02), T(20), T(-33)};
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(static_cast<int>(unit));
    const LimitedTo scope(unit);
    for (const auto& f : functions<T>()) {
      INFO(f.name);
      for (std::size_t n = 0; n <= 19; ++n) {
        // One element more at either end shows a write out of bounds.
        std::vector<T> from(n + 2), to(n + 2, T(77));
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = some[i % some.size()];
        f.of_array(from.data() + 1, to.data() + 1, static_cast<std::int64_t>(n));
        CHECK(to.front() == 77);
        CHECK(to.back() == 77);
        for (std::size_t i = 1; i <= n; ++i) CHECK(to[i] == applied(f, {from[i]})[0]);
        std::vector<T> in_place = from;
        f.of_array(in_place.data() + 1, in_place.data() + 1, static_cast<std::int64_t>(n));
        CHECK(std::equal(to.begin() + 1, to.end() - 1, in_place.begin() + 1));
        CHECK(in_place.back() == from.back());
      }
    }
  }
}
}  // namespace

TEST_CASE("a vector function gives the same bits wherever a value stands and in place") {
  check_places<float>();
  check_places<double>();
}

TEST_CASE("operations are right without the vector unit") {
  const LimitedTo scope(VectorUnit::baseline);
  CHECK(vector_unit() == VectorUnit::baseline);
  std::vector<test::OpRow> rows = test::function_rows();
  for (const test::OpRow& row : test::reduction_rows()) rows.push_back(row);
  for (const test::OpRow& row : rows)
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      INFO("row '", row.name, "', seed ", seed);
      test::Draw draw(seed);
      const test::OpCase made = row.draw(draw);
      const GradcheckReport report = gradcheck(made.f, made.inputs);
      CHECK(report);
      CHECK(report.worst < 1e-7);
    }
  const Tensor x = tensor({-1e300, -3, 0, 2.5, 1e300}, f64);
  CHECK(test::close(tanh(x), {-1, std::tanh(-3), 0, std::tanh(2.5), 1}, 1e-15));
  CHECK(test::close(sigmoid(x), {0.0, 1 / (1 + std::exp(3)), 0.5, 1 / (1 + std::exp(-2.5)), 1},
                    1e-15));
}

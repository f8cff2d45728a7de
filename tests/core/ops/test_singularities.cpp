#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "support/compare.hpp"

using namespace retrace;

namespace {

struct Derivatives {
  const char* name;
  std::function<Tensor(const Tensor&)> f;
  std::function<double(double)> first, second;
  bool both_sides;  // of zero
};

Derivatives power(const char* name, double p, bool both_sides) {
  return {name, [p](const Tensor& x) { return pow(x, p); },
          [p](double x) { return p * std::pow(x, p - 1); },
          [p](double x) { return p * (p - 1) * std::pow(x, p - 2); }, both_sides};
}

}  // namespace

// Differences are of no use where the higher derivatives explode.
TEST_CASE("derivatives near singularities are the analytic ones") {
  const std::vector<Derivatives> functions = {
      {"log", [](const Tensor& x) { return log(x); }, [](double x) { return 1 / x; },
       [](double x) { return -1 / (x * x); }, false},
      {"sqrt", [](const Tensor& x) { return sqrt(x); }, [](double x) { return 0.5 / std::sqrt(x); },
       [](double x) { return -0.25 / (x * std::sqrt(x)); }, false},
      {"3 / x", [](const Tensor& x) { return 3 / x; }, [](double x) { return -3 / (x * x); },
       [](double x) { return 6 / (x * x * x); }, true},
      {"tensor / x", [](const Tensor& x) { return full({}, 3, f64) / x; },
       [](double x) { return -3 / (x * x); }, [](double x) { return 6 / (x * x * x); }, true},
      {"abs", [](const Tensor& x) { return abs(x); }, [](double x) { return x < 0 ? -1 : 1; },
       [](double) { return 0; }, true},
      {"relu", [](const Tensor& x) { return relu(x); }, [](double x) { return x < 0 ? 0 : 1; },
       [](double) { return 0; }, true},
      power("pow(x, 0.5)", 0.5, false),
      power("pow(x, 1.5)", 1.5, false),
      power("pow(x, -1)", -1, true),
      power("pow(x, -2.5)", -2.5, false),
  };
  for (const Derivatives& d : functions)
    for (const double size : {0.3, 1e-2, 1e-3, 1e-6, 1e-12, 1e-60})
      for (const double at : {size, -size}) {
        if (at < 0 && !d.both_sides) continue;
        INFO(d.name, " at ", at);
        const Tensor x = full({}, at, f64).requires_grad(true);
        const Tensor first = grad(d.f(x), {x}, {.create_graph = true})[0];
        CHECK(test::close(first, full({}, d.first(at), f64), 1e-14));
        const Tensor second = grad(first, {x}, {.allow_unused = true})[0];
        CHECK(test::close(second, full({}, d.second(at), f64), 1e-14));
      }
}

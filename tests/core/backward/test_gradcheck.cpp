#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

// Operations of a user, right and wrong, written in this file with the words of
// core/graph/record.hpp.
namespace {

Tensor cube(const Tensor& x) {
  return record("cube", mapping(x, [](auto v) { return v * v * v; }),
                wrt(x, keep(x), [](Tensor dy, T x) { return std::move(dy) * x * x * 3; }));
}

/// a * b + c, every rule with what it needs.
Tensor multiply_add(const Tensor& a, const Tensor& b, const Tensor& c) {
  return record(
      "multiply_add", [&] { return a * b + c; }, wrt(a, keep(b), [](T dy, T b) { return dy * b; }),
      wrt(b, keep(a), [](T dy, T a) { return dy * a; }), wrt(c, [](T dy) { return dy; }));
}

/// Softplus, whose rule is written with the output alone: d/dx log(1 + e^x) = 1 - e^-y.
Tensor softplus(const Tensor& x) {
  return record(
      "softplus", [&] { return log(exp(x) + 1); },
      wrt(x, with_result, [](T dy, T y) { return dy * (1 - exp(-y)); }));
}

/// Sine and cosine, two outputs of one node; a cotangent that nobody gave is undefined.
std::vector<Tensor> sin_cos(const Tensor& x) {
  const auto value = [&] {
    return std::vector<Tensor>{map(x, [](auto v) { return std::sin(v); }),
                               map(x, [](auto v) { return std::cos(v); })};
  };
  return record("sin_cos", value,
                wrt(x, keep(x), all_cotangents, [](std::span<const Tensor> dys, T x) {
                  const std::vector<Tensor> y = sin_cos(x);
                  Tensor dx = zeros(x.shape(), x.dtype());
                  if (dys[0].defined()) dx = dx + dys[0] * y[1];
                  if (dys[1].defined()) dx = dx - dys[1] * y[0];
                  return dx;
                }));
}

/// The right derivative of x^2, but for one element.
Tensor wrong_square(const Tensor& x) {
  return record(
      "wrong_square", [&] { return x * x; }, wrt(x, keep(x), [](T dy, T x) {
        return dy * x * 2 + no_grad([&] {
                 return place(tensor({0.25}, f64), {.axis = 0, .start = 2}, x.shape());
               });
      }));
}

/// Right in first order; its rule forgets that it depends on x.
Tensor square_without_second_order(const Tensor& x) {
  return record(
      "square", [&] { return x * x; },
      wrt(x, keep(x), [](T dy, T x) { return dy * x.detach() * 2; }));
}

/// The rule gives a gradient that is right only while nothing is recorded, or only while something
/// is.
Tensor wrong_when(const Tensor& x, bool recorded) {
  return record(
      "wrong_when", [&] { return x * 2; },
      wrt(x, [recorded](T dy) { return dy * (is_recording() == recorded ? 3 : 2); }));
}

const Tensor x = tensor({0.5, -1, 2}, f64);

bool mentions(const GradcheckReport& report, std::initializer_list<const char*> texts) {
  for (const char* text : texts)
    if (report.text.find(text) == std::string::npos) return false;
  return true;
}

}  // namespace

TEST_CASE("gradcheck agrees with right rules and with operations of users") {
  const GradcheckReport report = gradcheck([](T a) { return cube(a); }, {x});
  CHECK(report);
  CHECK(report.worst < 1e-7);
  CHECK(report.text.empty());
  CHECK(gradcheck([](T a, T b, T c) { return multiply_add(a, b, c); },
                  {x, tensor({{2}, {3}}, f64), full({}, 1, f64)}));
  CHECK(gradcheck([](T a) { return softplus(a); }, {x}));
  CHECK(gradcheck([](T a, T b) { return cube(a) * softplus(b) - tanh(a * b); }, {x, x * 2}));
}

TEST_CASE("gradcheck of an operation with two outputs (used both or alone)") {
  CHECK(gradcheck([](T a) { return sin_cos(a)[0]; }, {x}));
  CHECK(gradcheck([](T a) { return sin_cos(a)[1] * a; }, {x}));
  CHECK(gradcheck([](T a) { return concat(sin_cos(a), 0) * concat({a, a}, 0); }, {x}));
  const std::vector<Tensor> y = sin_cos(x);
  CHECK(close(y[0] * y[0] + y[1] * y[1], {1, 1, 1}, 1e-15));
  // Several orders of it: the fourth derivative of the sine is the sine.
  const Tensor leaf = x.clone().requires_grad(true);
  Tensor d = sin_cos(leaf)[0];
  for (int order = 0; order < 4; ++order) d = grad(sum(d), {leaf}, {.create_graph = true})[0];
  CHECK(close(d, y[0], 1e-14));
}

TEST_CASE(
    "gradcheck catches a wrong rule and names operation and input and element and both values") {
  const Tensor other = tensor({1, 1, 1}, f64);
  const GradcheckReport report =
      gradcheck([](T a, T b) { return a + wrong_square(b); }, {other, x});
  CHECK_FALSE(report);
  CHECK(report.worst > 0.01);
  INFO(report);
  // The gradient of element 2 is v * 4 + 0.25, differences give v * 4 with v the cotangent.
  CHECK(
      mentions(report, {"gradcheck of 'add', first order: input 1 [3], element 2: the gradient is",
                        "differences give"}));
  const double v = uniform({3}, -1, 1, Generator(1), f64).at({2});
  CHECK(mentions(report,
                 {fmt::format("the gradient is {:.6f}", v * 4 + 0.25).substr(0, 22).c_str()}));
  CHECK(mentions(report, {fmt::format("differences give {:.6f}", v * 4).substr(0, 22).c_str()}));
  std::ostringstream printed;
  printed << report;
  CHECK(printed.str() == report.text);
  CHECK(mentions(gradcheck([](T a) { return wrong_square(a); }, {x}),
                 {"gradcheck of 'wrong_square'"}));
}

TEST_CASE("gradcheck catches a rule that is wrong in second order only") {
  const auto f = [](T a) { return square_without_second_order(a); };
  const GradcheckReport report = gradcheck(f, {x});
  CHECK_FALSE(report);
  CHECK(mentions(report,
                 {"gradcheck of 'square', second order", "input 0 [3]", "the gradient is 0"}));
  CHECK(gradcheck(f, {x}, {.second_order = false}));
}

TEST_CASE("gradcheck catches rules that depend on whether the gradient is recorded") {
  const GradcheckReport when_recorded = gradcheck([](T a) { return wrong_when(a, true); }, {x});
  CHECK_FALSE(when_recorded);
  CHECK(mentions(when_recorded, {"with create_graph it is"}));
  CHECK_FALSE(gradcheck([](T a) { return wrong_when(a, false); }, {x}));
}

TEST_CASE("gradcheck catches a rule that loses the way back to the cotangent") {
  const auto f = [](T a) {
    return record(
        "double", [&] { return a * 2; }, wrt(a, [](T dy) { return dy.detach() * 2; }));
  };
  const GradcheckReport report = gradcheck(f, {x});
  CHECK_FALSE(report);
  CHECK(mentions(report, {"second order (the last input is the cotangent): input 1 [3]",
                          "the gradient is 0"}));
}

TEST_CASE("gradcheck holds what backward leaves against what grad returns") {
  int calls = 0;
  const auto f = [&](T a) {
    return record(
        "moody", [&] { return a * 2; },
        wrt(a, [&calls](T dy) { return dy * (++calls == 3 ? 5 : 2); }));
  };
  const GradcheckReport report = gradcheck(f, {x});
  CHECK_FALSE(report);
  CHECK(mentions(report, {"gradcheck of 'moody', first order", "backward leaves"}));
}

TEST_CASE("gradcheck reports a function that ignores its inputs") {
  const GradcheckReport constant = gradcheck([](T) { return ones({2, 3}, f64); }, {x});
  CHECK_FALSE(constant);
  CHECK(mentions(constant, {"the result [2, 3] does not depend on the inputs"}));
  CHECK_FALSE(gradcheck([](T a) { return a.detach() * 2; }, {x}));
  // A second input that plays no part has gradient 0, as differences say.
  CHECK(gradcheck([](T a, T) { return a * a; }, {x, x}));
  // One that plays a part behind detach() does not.
  const GradcheckReport hidden = gradcheck([](T a, T b) { return a * b.detach(); }, {x, x});
  CHECK_FALSE(hidden);
  CHECK(mentions(hidden, {"input 1 [3]", "the gradient is 0"}));
}

TEST_CASE("gradcheck of second order where no gradient depends on anything") {
  CHECK(gradcheck([](T a) { return pow(a, 0); }, {x}));
  const auto fixed_gradient = [](T a) {
    return record(
        "fixed_gradient", [&] { return a * 0; },
        wrt(a, [](T dy) { return zeros(dy.shape(), dy.dtype()); }));
  };
  CHECK(gradcheck([&](T a) { return fixed_gradient(a); }, {x}));
  CHECK(gradcheck([](T a) { return relu(a); }, {x}));
  CHECK(gradcheck([](T a) { return a * 3.0; }, {x}));
}

TEST_CASE("gradcheck finds NaN the worst wherever it stands") {
  const auto spoiled = [](T a) {
    return record(
        "spoiled", [&] { return a * 1; }, wrt(a, [](T dy) {
          return dy * tensor({1.5, NaN, 1.5}, f64);
        }));
  };
  const GradcheckReport report = gradcheck(spoiled, {x});
  CHECK_FALSE(report);
  CHECK_FALSE(std::isfinite(report.worst));
  CHECK(mentions(report, {"element 1", "nan"}));
}

TEST_CASE("gradcheck leaves the inputs as they were and passes the others through") {
  const Tensor leaf = x.clone().requires_grad(true), index = tensor({2, 0}, i64),
               single = tensor({1.5});
  const GradcheckReport report = gradcheck(
      [](T a, T i, T s) {
        CHECK(i.dtype() == i64);
        CHECK(s.dtype() == f32);
        CHECK_FALSE(s.requires_grad());
        return gather(a * a, i, 0) * s.to(f64);
      },
      {leaf, index, single});
  CHECK(report);
  CHECK(same(leaf, {0.5, -1, 2}));
  CHECK_FALSE(leaf.grad().defined());
  CHECK(leaf.requires_grad());
  // Inputs of any layout and history, and none of any elements.
  CHECK(gradcheck([](T a) { return tanh(a); }, {transpose(tensor({{1, 2, 3}, {4, 5, 6}}, f64))}));
  CHECK(gradcheck([](T a) { return tanh(a); }, {leaf * 2}));
  CHECK(gradcheck([](T a) { return a * a; }, {zeros({0, 3}, f64)}));
  CHECK(gradcheck([](std::span<const Tensor> all) { return stack(all, 0); }, {x, x, x}));
}

TEST_CASE("gradcheck depends on its options") {
  const auto slightly_wrong = [](T a) {
    return record(
        "slightly_wrong", [&] { return a * 1; }, wrt(a, [](T dy) { return dy * (1 + 1e-5); }));
  };
  CHECK_FALSE(gradcheck(slightly_wrong, {x}));
  const GradcheckReport lenient =
      gradcheck(slightly_wrong, {x}, {.tolerance = 1e-4, .second_order = false});
  CHECK(lenient);
  CHECK(lenient.worst == doctest::Approx(1e-5).epsilon(0.01));
  // The cotangents follow from the seed.
  const auto worst = [&](std::uint64_t seed) {
    return gradcheck([](T a) { return cube(a); }, {x}, {.seed = seed}).worst;
  };
  CHECK(worst(3) == worst(3));
  CHECK(worst(3) != worst(4));
}

TEST_CASE("gradcheck refuses what it cannot check") {
  CHECK_THROWS_WITH_AS(gradcheck(cube, {x}, {.tolerance = NaN}),
                       doctest::Contains("got 0.001 and nan"), Error);
  const auto twice = [](T a) { return a * 2; };
  CHECK_THROWS_WITH_AS(gradcheck(twice, {x.to(f32)}),
                       doctest::Contains("gradcheck: expected one f64 input or more among 1"),
                       Error);
  CHECK_THROWS_WITH_AS(gradcheck(twice, std::initializer_list<Tensor>{}),
                       doctest::Contains("gradcheck: "), Error);
  CHECK_THROWS_WITH_AS(gradcheck([](T a) { return a.to(f32); }, {x}),
                       doctest::Contains("returns f32, expected f64"), Error);
  CHECK_THROWS_WITH_AS(gradcheck(twice, {x, x}),
                       doctest::Contains("the function takes 1 inputs, got 1 more"), Error);
  CHECK_THROWS_WITH_AS(gradcheck([](T a, T b) { return a * b; }, {x}),
                       doctest::Contains("takes more than 1 inputs"), Error);
}

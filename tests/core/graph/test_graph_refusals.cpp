#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/parameters.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

TEST_CASE("refusal: backward of several elements without a cotangent names op and shape") {
  Tensor x = leaf({1, 2});
  CHECK_THROWS_WITH_AS((x * x).backward(),
                       Contains("backward: 'mul' has shape [2], not one element"), Error);
}

TEST_CASE("refusal: a cotangent of another shape or dtype") {
  Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  CHECK_THROWS_WITH_AS(y.backward(ones({3}, f64)),
                       "backward: the cotangent is [3] f64, but 'mul' is [2] f64", Error);
  CHECK_THROWS_WITH_AS(y.backward(ones({2})),
                       "backward: the cotangent is [2] f32, but 'mul' is [2] f64", Error);
  CHECK_NOTHROW(y.backward(ones({2}, f64)));  // a refused call has changed nothing
}

TEST_CASE("refusal: backward of what depends on no leaf") {
  CHECK_THROWS_WITH_AS(sum(tensor({1, 2})).backward(),
                       Contains("was not computed from a leaf that requires"), Error);
}

TEST_CASE("refusal: backward twice says in words how to do it") {
  Tensor x = leaf({1, 2});
  const Tensor y = sum(x * x);
  y.backward();
  const auto before = x.grad().to_vector<double>();
  CHECK_THROWS_WITH_AS(
      y.backward(), Contains("the graph of 'sum' [] was consumed by an earlier backward"), Error);
  CHECK_THROWS_WITH_AS(y.backward(), Contains("retain_graph"), Error);
  CHECK(x.grad().to_vector<double>() == before);
}

TEST_CASE("refusal: a state that was not detached leads into a consumed graph") {
  Tensor w = leaf({0.5});
  Tensor h = tanh(w);
  sum(h).backward();
  const auto before = w.grad().to_vector<double>();
  CHECK_THROWS_WITH_AS(sum(h * w).backward(), Contains("detach() the state that is carried on"),
                       Error);
  CHECK(w.grad().to_vector<double>() ==
        before);  // although the product's own share was known by then
}

TEST_CASE(
    "refusal: grad through a consumed graph is an error, never a gradient without its share") {
  Tensor x = leaf({1, 2});
  const Tensor h = x * x;
  sum(h).backward();
  CHECK_THROWS_WITH_AS(grad(sum(h * 3), {x}), Contains("the graph of 'mul' [2] was consumed"),
                       Error);
  CHECK_THROWS_WITH_AS(grad(sum(h * 3), {x}, {.allow_unused = true}), Contains("consumed"), Error);
  CHECK_THROWS_WITH_AS(grad(sum(h * 3 + x), {x}), Contains("consumed"), Error);
  const Tensor g = grad(sum(h * 3), {h})[0];  // but up to there it is known
  CHECK(g.to_vector<double>() == std::vector<double>{3, 3});
  CHECK_THROWS_WITH_AS(grad(sum(h * 3), {h, x}, {.allow_unused = true}), Contains("consumed"),
                       Error);
}

TEST_CASE("refusal: an operand changed in place between forward and backward is noticed") {
  Tensor x = leaf({1, 2}), y = leaf({3, 4});
  const Tensor z = sum(x * y);
  SUBCASE("fill") { x.fill(7); }
  SUBCASE("assign") { x.assign(y); }
  SUBCASE("mutable_span") { x.mutable_span<double>()[0] = 5; }
  SUBCASE("through a view") {
    no_grad([&] { return select(x, 0, 0); }).fill(3);
  }
  SUBCASE("through a detached handle") { x.detach().fill(3); }
  CHECK_THROWS_WITH_AS(
      z.backward(), Contains("backward of 'mul' [2]: an operand [2] was changed in place"), Error);
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(y.grad().defined());
}

TEST_CASE("refusal: a result changed in place is noticed when its rule needs it") {
  Tensor x = leaf({1, 2});
  const Tensor y = tanh(x);
  y.detach().fill(0);
  CHECK_THROWS_WITH_AS(sum(y).backward(),
                       Contains("backward of 'tanh' [2]: its result [2] was changed in place"),
                       Error);
}

TEST_CASE("refusal: a recorded result is not changed in place") {
  Tensor x = leaf({1, 2});
  Tensor y = x * 2;
  CHECK_THROWS_WITH_AS(y.fill(0), Contains("fill: 'mul' [2] is recorded"), Error);
  CHECK_THROWS_WITH_AS(y.assign(x), Contains("assign: 'mul' [2] is recorded"), Error);
  CHECK_THROWS_WITH_AS(y.mutable_span<double>(), Contains("mutable_span: 'mul' [2] is recorded"),
                       Error);
  CHECK(y.to_vector<double>() == std::vector<double>{2, 4});
}

TEST_CASE("refusal: an operation whose value is no tensor is named") {
  const Tensor x = leaf({1, 2});
  const auto rule = wrt(x, [](const Tensor& dy) { return dy; });
  CHECK_THROWS_WITH_AS(record(
                           "mine", [] { return Tensor(); }, rule),
                       "mine: its value is an undefined tensor", Error);
  const auto rule_of_two =
      wrt(x, all_cotangents, [](std::span<const Tensor> dys) { return dys[0]; });
  CHECK_THROWS_WITH_AS(record(
                           "two",
                           [&] {
                             return std::vector{x, Tensor()};
                           },
                           rule_of_two),
                       "two: its value is an undefined tensor", Error);
}

TEST_CASE("refusal: an operation with a rule that cannot be stored leaves nothing behind") {
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2}), y = leaf({3, 4}), none;
    const auto value = [&] { return x * y; };
    const auto times = [](const Tensor& dy, const Tensor& other) { return dy * other; };
    const auto refused = [&](const auto&... rules) {
      CHECK_THROWS_WITH_AS(static_cast<void>(record("mine", value, rules...)),
                           Contains("an undefined tensor was used"), Error);
    };
    const auto all = [](const Tensor& dy) { return std::vector<Contribution>{dy, dy}; };
    refused(wrt(x, keep(y), times), wrt(y, keep(none), times));
    refused(wrt(x, keep(y), times),
            wrt_all({x, y}, keep(none), [](const Tensor& dy, const Tensor&) {
              return std::vector<Contribution>{dy, dy};
            }));
    refused(wrt_all({x, none}, all));
  }
  CHECK(live_nodes() == before);
}

TEST_CASE(
    "refusal: a backward that fails midway leaves every gradient and marks the graph consumed") {
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  sum(a + b).backward();
  const auto before = a.grad().to_vector<double>();
  const Tensor inner = tanh(a);
  const Tensor failing = record(
      "failing", [&] { return inner.detach().clone(); },
      wrt(inner, [](const Tensor&) -> Tensor { throw Error("the rule gave up"); }));
  const Tensor y = sum(failing * b);
  CHECK_THROWS_WITH_AS(y.backward(), "backward of 'failing' [2]: the rule gave up", Error);
  CHECK(a.grad().to_vector<double>() == before);
  CHECK(b.grad().to_vector<double>() == before);
  CHECK_THROWS_WITH_AS(y.backward(), Contains("consumed"), Error);
  CHECK_THROWS_WITH_AS(sum(inner).backward(), Contains("the graph of 'tanh' [2] was consumed"),
                       Error);
  sum(a * b).backward();  // the leaves are as good as before
  CHECK(a.grad().to_vector<double>() == std::vector<double>{4, 5});
}

TEST_CASE("refusal: a failed backward that retains the graph leaves it usable") {
  Tensor x = leaf({1, 2});
  bool fail = true;
  const Tensor y = record(
      "moody", [&] { return x.detach().clone(); }, wrt(x, [&fail](const Tensor& dy) {
        require(!fail, "not now");
        return dy;
      }));
  CHECK_THROWS_AS(sum(y).backward({.retain_graph = true}), Error);
  fail = false;
  sum(y).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{1, 1});
}

TEST_CASE("refusal: a rule that walks through what the backward around it walks through") {
  Tensor x = leaf({1, 2}), w = leaf({3, 4});
  const Tensor h = tanh(w), s = sum(h);
  const Tensor y = record(
      "nosy", [&] { return x * 1; }, wrt(x, keep(s, w), [](T dy, T s, T w) {
        return dy * grad(s, {w}, {.retain_graph = true})[0];
      }));
  CHECK_THROWS_WITH_AS((sum(y) + sum(h)).backward(),
                       Contains("backward of 'nosy' [2]: backward of 'sum' []: 'tanh' [2] is part "
                                "of what an outer backward walks through"),
                       Error);
  CHECK_FALSE(w.grad().defined());
}

TEST_CASE(
    "refusal: a rule that walks back through its own result or through one that depends on it") {
  for (const bool outer : {false, true})
    for (const bool inner : {false, true})
      for (const bool later : {false, true}) {
        static Tensor start;
        static bool retain;
        retain = inner;
        Tensor x = leaf({1, 2});
        const Tensor y = record(
            "own", [&] { return x * 1; }, wrt(x, [](const Tensor& dy) {
              start.backward(dy, {.retain_graph = retain});
              return dy * 2;
            }));
        start = later ? y * 3 : y;
        CHECK_THROWS_WITH_AS(y.backward(ones({2}, f64), {.retain_graph = outer}),
                             Contains("'own' [2] is part of what an outer backward walks through"),
                             Error);
        CHECK_FALSE(x.grad().defined());
        start = {};
      }
}

TEST_CASE("refusal: a rule that returns a wrong shape, dtype or nothing is named") {
  Tensor x = leaf({1, 2});
  const auto with = [&](auto rule) {
    return record(
        "odd", [&] { return x.detach().clone(); }, wrt(x, rule));
  };
  CHECK_THROWS_WITH_AS(sum(with([](const Tensor&) { return ones({3}, f64); })).backward(),
                       Contains("backward of 'odd' [2]: sum_to: [2] does not broadcast to [3]"),
                       Error);
  CHECK_THROWS_WITH_AS(sum(with([](const Tensor&) { return ones({2}); })).backward(),
                       Contains("returned f32"), Error);
  CHECK_THROWS_WITH_AS(sum(with([](const Tensor&) { return Tensor(); })).backward(),
                       Contains("undefined"), Error);
}

TEST_CASE("refusal: only floating leaves can ask for gradients") {
  CHECK_THROWS_WITH_AS(arange(3).requires_grad(true), Contains("an i64 tensor [3] has no gradient"),
                       Error);
  Tensor x = leaf({1, 2});
  Tensor y = x * 2;
  CHECK_THROWS_WITH_AS(y.requires_grad(false), Contains("'mul' [2] is recorded"), Error);
  CHECK_THROWS_WITH_AS(x.set_grad(ones({3}, f64)), "set_grad: expected [2] f64, got [3] f64",
                       Error);
}

TEST_CASE("refusal: an undefined tensor says so") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  CHECK_THROWS_WITH_AS(none.shape(), Contains("an undefined tensor was used"), Error);
  CHECK_THROWS_WITH_AS(tanh(none), Contains("an undefined tensor was used"), Error);
  CHECK_THROWS_WITH_AS(ones({2}) + none, Contains("an undefined tensor was used"), Error);
}

#include <doctest/doctest.h>

#include <cmath>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using test::close;
using test::same;
using test::T;
using Contributions = std::vector<Contribution>;

// Operations as users write them, with one rule for all inputs.
namespace {

Tensor leaf(const Literal& values) { return tensor(values, f64).requires_grad(true); }

/// tanh(x w_x + h w_h + b) as one node.
Tensor cell(T x, T h, T w_x, T w_h, T b) {
  return record(
      "cell", [&] { return tanh(matmul(x, w_x) + matmul(h, w_h) + b); },
      wrt_all({x, h, w_x, w_h, b}, keep(x, h, w_x, w_h), with_result,
              [](T dy, T x, T h, T w_x, T w_h, T y) -> Contributions {
                const Tensor da = dy * (1 - y * y);
                return {product(da, transposed(w_x)), matmul(da, transpose(w_h)),
                        product(transposed(x), da), product(transposed(h), da), da};
              }));
}
Tensor composed(T x, T h, T w_x, T w_h, T b) { return tanh(matmul(x, w_x) + matmul(h, w_h) + b); }

/// Sum and difference, two outputs of one node; a cotangent that nobody gave is undefined.
std::vector<Tensor> both(T a, T b) {
  return record(
      "both",
      [&] {
        return std::vector{a + b, a - b};
      },
      wrt_all({a, b}, all_cotangents, [](std::span<const Tensor> dys) -> Contributions {
        const Tensor &s = dys[0], &d = dys[1];
        if (!d.defined()) return {s, s};
        if (!s.defined()) return {d, -d};
        return {s + d, s - d};
      }));
}

/// The second and the first of two rows, whose contributions say where they land; nothing for c.
Tensor swapped(T a, T b, T c) {
  return record(
      "swapped", [&] { return select(a, 0, 1) * 2 + gather(b, tensor({0}, i64), 0) + c * 0; },
      wrt_all({a, b, c}, [](T dy) -> Contributions {
        const Region second{.axis = 0, .start = 1, .drop = true};
        return {Placed{dy * 2, second}, Scattered{dy, tensor({0}, i64), 0}, Tensor()};
      }));
}

const std::vector<Shape> cell_shapes{{2, 3}, {2, 4}, {3, 4}, {4, 4}, {4}};

}  // namespace

TEST_CASE("wrt_all: a fused cell, alone and over some steps, to second order") {
  test::Draw draw(1);
  std::vector<Tensor> xs;
  for (const Shape& shape : cell_shapes) xs.push_back(draw.values(shape));
  CHECK(gradcheck([](T x, T h, T w_x, T w_h, T b) { return cell(x, h, w_x, w_h, b); }, xs));
  CHECK(gradcheck(
      [](T x, T h, T w_x, T w_h, T b) {
        const Tensor once = cell(x, h, w_x, w_h, b);
        return cell(x * 2, cell(x, once, w_x, w_h, b), w_x, w_h, b) + once;
      },
      xs));
  CHECK(gradcheck([](T x, T h, T w) { return cell(x, h, w, w, sum(w, 0)); },
                  {draw.values({2, 4}), draw.values({2, 4}), draw.values({4, 4})}));
}

TEST_CASE("wrt_all: several outputs, contributions that land somewhere, and none") {
  test::Draw draw(2);
  const Tensor a = draw.values({3}), b = draw.values({3});
  CHECK(gradcheck([](T a, T b) { return both(a, b)[0] * both(b, a)[1]; }, {a, b}));
  CHECK(gradcheck(
      [](T a, T b) {
        const std::vector<Tensor> ys = both(a * a, b);
        return ys[0] * ys[1];
      },
      {a, b}));
  const auto f = [](T a, T b) {
    return swapped(a * a, b * b, sum(a)) * sum(swapped(a, b, sum(b)));
  };
  const Tensor rows = draw.values({2, 1}), one = draw.values({1});
  CHECK(gradcheck([&](T a, T b) { return f(a, b); }, {rows, one}));
  const Tensor x = leaf({{1}, {2}}), y = leaf({3}), unused = leaf({4});
  swapped(x, y, unused).backward(tensor({5}, f64));
  CHECK(same(x.grad(), {{0}, {10}}));
  CHECK(same(y.grad(), {5}));
  CHECK_FALSE(unused.grad().defined());
}

TEST_CASE("wrt_all: inputs without a gradient, inputs given twice, and those in a list") {
  for (unsigned wanted = 0; wanted < 32; ++wanted) {
    test::Draw draw(wanted);
    std::vector<Tensor> xs, twins;
    for (std::size_t i = 0; i < 5; ++i) {
      xs.push_back(draw.values(cell_shapes[i]).requires_grad((wanted >> i & 1) == 1));
      twins.push_back(xs.back().detach().requires_grad(xs.back().requires_grad()));
    }
    const Tensor y = cell(xs[0], xs[1], xs[2], xs[3], xs[4]);
    REQUIRE(y.requires_grad() == (wanted != 0));
    if (wanted == 0) continue;
    sum(y).backward();
    sum(composed(twins[0], twins[1], twins[2], twins[3], twins[4])).backward();
    for (std::size_t i = 0; i < 5; ++i) {
      REQUIRE(xs[i].grad().defined() == xs[i].requires_grad());
      if (xs[i].requires_grad()) CHECK(close(xs[i].grad(), twins[i].grad(), 1e-10, 1e-12));
    }
  }
  const Tensor a = leaf({1, 2});
  both(a, a)[0].backward(ones({2}, f64));
  CHECK(same(a.grad(), {2, 2}));

  const auto total = [](const std::vector<Tensor>& xs) {
    const auto value = [&] {
      Tensor y = zeros({2}, f64);
      for (T x : xs) y = y + x;
      return y;
    };
    return record("total", value,
                  wrt_all(xs, [n = xs.size()](T dy) { return Contributions(n, dy); }));
  };
  CHECK(gradcheck(
      [&](T a, T b) {
        return total({a, b * b, a, tensor({1, 1}, f64), a * b});
      },
      {tensor({1, 2}, f64), tensor({3, 4}, f64)}));
  CHECK_FALSE(total({}).requires_grad());
}

TEST_CASE("wrt_all: beside rules for one input, and only where gradients are wanted") {
  const auto f = [](T a, T b, T c, T d) {
    return record(
        "f", [&] { return a * b + c * d; }, wrt(d, keep(c), [](T dy, T c) { return dy * c; }),
        wrt_all({a, b}, keep(a, b),
                [](T dy, T a, T b) -> Contributions {
                  return {dy * b, dy * a};
                }),
        wrt(c, keep(d), [](T dy, T d) { return dy * d; }));
  };
  test::Draw draw(4);
  CHECK(gradcheck([&](T a, T b, T c, T d) { return f(a, b, c, d); },
                  {draw.values({3}), draw.values({3}), draw.values({3}), draw.values({})}));
  const Tensor a = leaf({1}), b = leaf({2}), c = leaf({3}), d = leaf({4}), bb = b * b;
  const Tensor y = f(a * a, bb, c, d);
  CHECK(same(grad(y, {a}, {.retain_graph = true})[0], {8}));
  CHECK(same(grad(y, {d, b}, {.retain_graph = true})[1], {4}));
  CHECK(same(grad(y, {c})[0], {4}));
  CHECK(same(grad(bb, {b})[0], {4}));  // it was not consumed by any of them
}

TEST_CASE(
    "wrt_all: keeps nothing for inputs that need no gradient, beside a rule for one that does") {
  const Tensor a = tensor({2}, f64), d = leaf({3});
  const auto f = [](T a, T d) {
    return record(
        "f", [&] { return a + d; }, wrt(d, [](T dy) { return dy; }),
        wrt_all({a}, keep(a), [](T dy, T a) -> Contributions { return {dy * a}; }));
  };
  const Tensor y = f(a, d);
  a.fill(7);  // is no change of a value that a rule wants to see again
  y.backward();
  CHECK(same(d.grad(), {1}));
}

TEST_CASE("wrt_all: an operand that nobody keeps is overwritten") {
  const Tensor w = leaf({1, 2});
  Tensor x = w * 2;
  const void* elements = x.span<double>().data();
  const auto sum_of = [](Tensor a, T b) {
    return record(
        "sum_of", [&] { return std::move(a) + b; }, wrt_all({a, b}, [](T dy) -> Contributions {
          return {dy, dy};
        }));
  };
  const Tensor y = sum_of(std::move(x), w);
  CHECK(y.span<double>().data() == elements);
  CHECK(same(grad(sum(y), {w})[0], {3, 3}));
}

TEST_CASE("wrt_all: refusals in backward name the operation and leave gradients as they were") {
  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const auto with = [&](auto rule) {
    return record(
        "own", [&] { return a * b; }, wrt_all({a, b}, keep(a), rule));
  };
  const auto refused = [&](auto rule, const std::string& text) {
    for (const bool create_graph : {false, true}) {
      const Tensor y = with(rule) * 1;
      CHECK_REFUSED((grad(sum(y), {a, b}, {.create_graph = create_graph, .retain_graph = true})),
                    "backward of 'own' [2]: " + text);
    }
    CHECK_THROWS_AS(sum(with(rule)).backward(), Error);
    CHECK_FALSE(a.grad().defined());
  };
  refused([](T dy, T) -> Contributions { return {dy}; },
          "the rule for 2 inputs returned 1 contributions");
  refused(
      [](T dy, T) -> Contributions {
        return {dy, dy, dy};
      },
      "the rule for 2 inputs returned 3 contributions");
  refused([](T dy, T) -> Contributions { return {dy, ones({3}, f64)}; }, "sum_to");
  refused(
      [](T dy, T) -> Contributions {
        return {dy, dy.to(f32)};
      },
      "the rule for an input [2] f64 returned f32");
  const Tensor y = sum(with([](T dy, T a) -> Contributions { return {dy, dy * a}; }));
  a.fill(7);
  CHECK_THROWS_WITH_AS(
      grad(y, {b}),
      doctest::Contains(
          "backward of 'own' [2]: an operand [2] was changed in place after the forward pass"),
      Error);
}

TEST_CASE("wrt_all: a NaN or an infinity that the rule makes is named") {
  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const auto backward_of = [&](auto rule) {
    const DetectAnomalies scope;
    sum(record(
            "own", [&] { return a * b; }, wrt_all({a, b}, rule)))
        .backward();
  };
  const auto raw = [](T dy) -> Contributions {
    return {dy, map(dy, [](auto v) { return v / 0; })};
  };
  CHECK_THROWS_WITH_AS(backward_of(raw),
                       "backward of 'own' [2]: 'the rule' [2] made an infinity at [0]", Error);
  CHECK_THROWS_WITH_AS(backward_of([](T dy) -> Contributions {
                         return {dy, log(dy - 1)};
                       }),
                       doctest::Contains("backward of 'own' [2]: 'log at "), Error);
  CHECK_FALSE(a.grad().defined());
}

TEST_CASE("wrt_all: nothing is left behind") {
  const std::int64_t before = live_nodes();
  {
    const Tensor a = leaf({1, 2}), b = leaf({3, 4});
    const std::vector<Tensor> dropped = both(a * 2, b);
    const Tensor y = sum(both(dropped[0], b * 2)[1]);
    y.backward({.retain_graph = true});
    y.backward();
    CHECK(same(a.grad(), {4, 4}));
    CHECK(recorded_graph(sum(both(a, b)[0])).size() == 5);  // a, b, the op, its output, sum
  }
  CHECK(live_nodes() == before);
}

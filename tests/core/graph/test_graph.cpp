#include <doctest/doctest.h>

#include <cmath>

#include "support/compare.hpp"
#include "support/parameters.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

std::vector<std::string> ops_of(const Tensor& y) {
  std::vector<std::string> ops;
  for (const GraphNode& n : recorded_graph(y)) ops.emplace_back(n.op);
  return ops;
}

}  // namespace

TEST_CASE("graph: backward of a product fills the gradients of both leaves") {
  Tensor a = leaf({2, 3}), b = leaf({5, 7});
  sum(a * b).backward();
  CHECK(a.grad().to_vector<double>() == std::vector<double>{5, 7});
  CHECK(b.grad().to_vector<double>() == std::vector<double>{2, 3});
}

TEST_CASE("graph: gradients of two backward passes add up and zero_grad forgets them") {
  Tensor x = leaf({1, 2});
  sum(x * x).backward();
  const Tensor first = x.grad();
  sum(x * x).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{4, 8});
  CHECK(first.to_vector<double>() ==
        std::vector<double>{2, 4});  // a handle taken before is not written to
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("graph: a diamond is visited once and its cotangents add up") {
  Tensor x = leaf({3});
  const Tensor y = x * x;
  const Tensor z = y * 2 + y * y;
  CHECK(ops_of(z) == std::vector<std::string>{"leaf", "mul", "mul", "mul", "add"});
  z.backward(ones({1}, f64));
  CHECK(x.grad().item() == doctest::Approx(2 * 3 * 2 + 4 * 27));
}

TEST_CASE("graph: doubling thirty times is walked in thirty steps") {
  Tensor x = leaf(1);
  Tensor y = x;
  for (int i = 0; i < 30; ++i) y = y + y;
  CHECK(recorded_graph(y).size() == 31);
  y.backward();
  CHECK(x.grad().item() == std::ldexp(1, 30));
}

TEST_CASE("graph: a branch that leads nowhere changes nothing") {
  Tensor x = leaf({1, 2}), unused = leaf({5, 6});
  const Tensor y = exp(x);
  const Tensor dead = y * unused;
  sum(y).backward();
  CHECK(x.grad().at({1}) == doctest::Approx(std::exp(2.0)));
  CHECK_FALSE(unused.grad().defined());
}

TEST_CASE("graph: inputs that need no gradient are not recorded and their partner is not kept") {
  Tensor x = leaf({1, 2});
  Tensor c = tensor({3, 4}, f64);
  const Tensor y = x * c;
  CHECK(ops_of(y) == std::vector<std::string>{"leaf", "mul"});
  x.fill(9);  // only c is needed for the gradient of x
  CHECK_NOTHROW(sum(y).backward());
  CHECK(x.grad().to_vector<double>() == std::vector<double>{3, 4});
}

TEST_CASE("graph: an edge keeps the node but not the value") {
  Tensor x = leaf({1, 2});
  const Tensor y = (x + 1) * 2;  // no rule wants x + 1
  const auto graph = recorded_graph(y);
  REQUIRE(graph.size() == 3);
  CHECK(graph[1].identity->storage == nullptr);
  CHECK(graph[1].shape == Shape{2});
  sum(y).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{2, 2});
}

TEST_CASE("graph: expiring operands lend their buffer and named ones never do") {
  const Tensor a = tensor({1, 2}, f64), b = tensor({3, 4}, f64);
  Tensor product = a * b;
  const void* buffer = product.span<double>().data();
  const Tensor y = tanh(std::move(product) + a);
  CHECK(y.span<double>().data() == buffer);
  const Tensor named = a * b;
  const Tensor z = named + a;
  CHECK(z.span<double>().data() != named.span<double>().data());
  CHECK(named.to_vector<double>() == std::vector<double>{3, 8});
}

TEST_CASE("graph: a value that a rule keeps is not lent") {
  Tensor x = leaf({0.5, 1.5});
  const Tensor y = tanh(exp(x) + 0);  // exp and tanh want their own results
  sum(y * y).backward();
  for (int i = 0; i < 2; ++i) {
    const double v = x.at({i}), e = std::exp(v), t = std::tanh(e);
    CHECK(x.grad().at({i}) == doctest::Approx(2 * t * (1 - t * t) * e).epsilon(1e-12));
  }
}

TEST_CASE("graph: no_grad records nothing, nests, and is restored by an exception") {
  Tensor x = leaf({1});
  {
    const NoGrad outer;
    { const NoGrad inner; }
    CHECK_FALSE((x * 2).requires_grad());
  }
  CHECK((x * 2).requires_grad());
  CHECK_THROWS_AS(no_grad([&] { return x + tensor({1, 2, 3}) + tensor({1, 2}); }), Error);
  CHECK(is_recording());
  CHECK_FALSE(no_grad([&] { return x * 2; }).requires_grad());
}

TEST_CASE("graph: detach stops gradients and shares elements") {
  Tensor x = leaf({2});
  const Tensor y = x * x;
  const Tensor z = sum(y.detach() * x);
  z.backward();
  CHECK(x.grad().item() == 4);
  const Tensor detached = y.detach();
  CHECK(detached.span<double>().data() == y.span<double>().data());
}

TEST_CASE("graph: what computes a value records nothing") {
  const Tensor x = leaf({1, 2});
  bool recorded = true;
  const auto value = [&] {
    recorded = is_recording();
    return x * 2;
  };
  static_cast<void>(record("mine", value, wrt(x, [](const Tensor& dy) { return dy * 2; })));
  CHECK_FALSE(recorded);
  CHECK(is_recording());
}

TEST_CASE("graph: an identity value becomes a result of its own") {
  Tensor x = leaf({1, 2});
  const Tensor y = record(
      "mine", [&] { return x; }, wrt(x, [](const Tensor& dy) { return dy * 3; }));
  CHECK_FALSE(y.same_as(x));
  CHECK(x.is_leaf());
  sum(y).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{3, 3});
}

TEST_CASE(
    "graph: an op of several outputs is one node and its rule sees which cotangents are absent") {
  Tensor x = leaf({{1, 2}, {3, 4}, {5, 6}});
  const std::vector<Tensor> rows = unstack(x, 0);
  sum(rows[0] * 2 + rows[2]).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{2, 2, 0, 0, 1, 1});
  const std::vector<Tensor> two = record(
      "two",
      [&] {
        return std::vector<Tensor>{x + 1, x * 2};
      },
      wrt(x, all_cotangents,
          [](std::span<const Tensor> dys) { return dys[0].defined() ? dys[0] : dys[1] * 2; }));
  x.zero_grad();
  sum(two[1]).backward();
  CHECK(x.grad().at({0, 0}) == 2);
}

TEST_CASE("graph: create_graph gives gradients of gradients to third order") {
  Tensor x = leaf({2});
  const Tensor y = sum(x * x * x * x);
  const Tensor first = grad(y, {x}, {.create_graph = true})[0];
  const Tensor second = grad(sum(first), {x}, {.create_graph = true})[0];
  const Tensor third = grad(sum(second), {x})[0];
  CHECK(first.item() == 32);
  CHECK(second.item() == 48);
  CHECK(third.item() == 48);
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("graph: grad of results in the middle, and of one tensor given twice") {
  Tensor x = leaf({3});
  const Tensor y = x * x;
  const Tensor z = sum(y * y);
  const auto g = grad(z, {y, x, y});
  CHECK(g[0].item() == 18);
  CHECK(g[1].item() == 108);
  CHECK(g[2].item() == 18);
}

TEST_CASE("graph: grad visits only what lies between") {
  Tensor x = leaf({3}), w = leaf({4});
  const Tensor a = w * w;
  const Tensor z = sum(x * a);
  CHECK(grad(z, {x}, {.retain_graph = true})[0].item() == 16);
  CHECK(grad(z, {z})[0].item() == 1);
  CHECK(grad(z, {a}, {.retain_graph = true})[0].item() == 3);
  CHECK(grad(sum(a * 2), {a})[0].item() == 2);
  CHECK(grad(sum(a), {w})[0].item() == 8);  // the graph of a was not consumed by any of them
}

TEST_CASE("graph: grad of something that is not reached is an error, or zeros when allowed") {
  Tensor x = leaf({3}), other = leaf({{4, 5}});
  CHECK_THROWS_WITH_AS(grad(sum(x), {other}),
                       doctest::Contains("does not depend on input 0 [1, 2]"), Error);
  CHECK(grad(sum(x), {other}, {.allow_unused = true})[0].to_vector<double>() ==
        std::vector<double>{0, 0});
  const Tensor plain = tensor({1}, f64);
  CHECK_THROWS_WITH_AS(grad(sum(x), {plain}), doctest::Contains("does not require a gradient"),
                       Error);
}

TEST_CASE(
    "graph: grad finds what is unused before it walks and a refusal leaves the graph as it was") {
  const Tensor x = leaf({1, 2}), z = leaf({1, 2}), h = x * x, y = sum(h);
  CHECK_THROWS_WITH_AS(grad(y, {x, z}),
                       doctest::Contains("'sum' [] does not depend on input 1 [2]"), Error);
  const std::vector<Tensor> all = grad(y, {x, z, h, y}, {.allow_unused = true});
  CHECK(same(all[0], {2, 4}));
  CHECK(same(all[1], {0, 0}));
  CHECK(same(all[2], {1, 1}));
  CHECK(all[3].item() == 1);
  // An input that was consumed itself and plays no part.
  const Tensor gone = sum(z * z);
  gone.backward();
  CHECK(grad(sum(x * x), {gone, x}, {.allow_unused = true})[0].item() == 0);
}

TEST_CASE(
    "graph: a result that depends on no leaf has gradient zero when unused inputs are allowed") {
  const Tensor x = leaf({2, -3}), other = leaf({{4, 5}});
  const GradOptions recorded{.create_graph = true},
      allowed{.create_graph = true, .allow_unused = true};
  const auto derivative = [&](const Tensor& y, const GradOptions& options) {
    return grad(sum(y), {x}, options)[0];
  };
  const Tensor slope = derivative(x * 3.0, recorded), of_relu = derivative(relu(x), recorded);
  const Tensor second = derivative(derivative(x * x, recorded), recorded);
  for (const Tensor& constant : {slope, of_relu, second, tensor({1, 2}, f64)}) {
    CHECK_FALSE(constant.requires_grad());
    const std::vector<Tensor> g = grad(sum(constant), {x, other}, allowed);
    CHECK(same(g[0], {0, 0}));
    CHECK(same(g[1], {{0, 0}}));
    CHECK(same(derivative(g[0], allowed), {0, 0}));  // and so on
    CHECK(same(grad(constant, {x}, {.cotangent = x, .allow_unused = true})[0], {0, 0}));
    // Nobody said so: that it depends on nothing may be a mistake.
    CHECK_THROWS_WITH_AS(
        derivative(constant, recorded),
        "grad: 'leaf' [] does not depend on input 0 [2]; pass {.allow_unused = true} to get zeros",
        Error);
    CHECK_THROWS_WITH_AS(sum(constant).backward(),
                         doctest::Contains("was not computed from a leaf that requires a gradient"),
                         Error);
  }
  // What does not fit is refused all the same.
  CHECK_THROWS_WITH_AS(grad(slope, {x}, allowed), doctest::Contains("not one element"), Error);
  CHECK_THROWS_WITH_AS(grad(slope, {x}, {.cotangent = ones({3}, f64), .allow_unused = true}),
                       doctest::Contains("the cotangent is [3] f64"), Error);
  CHECK_THROWS_WITH_AS(grad(sum(slope), {slope}, allowed),
                       doctest::Contains("does not require a gradient"), Error);
}

TEST_CASE("graph: retain_graph lets backward run again with the same result") {
  Tensor x = leaf({0.3, 0.4});
  const Tensor y = sum(tanh(x * x));
  y.backward({.retain_graph = true});
  const auto once = x.grad().to_vector<double>();
  x.zero_grad();
  y.backward();
  CHECK(x.grad().to_vector<double>() == once);
}

TEST_CASE("graph: permuted and strided cotangents accumulate") {
  Tensor x = leaf({{1, 2, 3}, {4, 5, 6}});
  const Tensor y = transpose(x) * tensor({{1, 2}, {3, 4}, {5, 6}}, f64);
  const Tensor z = sum(y) + sum(slice(x, 1, 0, 3, 2)) + sum(select(x, 0, 1)) + sum(x);
  z.backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{3, 4, 7, 5, 6, 9});
  CHECK(x.grad().is_contiguous());
}

TEST_CASE("graph: two leaves that receive one cotangent get gradients of their own") {
  Tensor a = leaf({1}), b = leaf({1});
  sum(a + b).backward();
  const Tensor of_a = a.grad(), of_b = b.grad();
  CHECK(of_a.span<double>().data() != of_b.span<double>().data());
}

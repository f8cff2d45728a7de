#include <doctest/doctest.h>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using test::close;
using test::same;
using test::T;

namespace {

Tensor leaf(const Literal& values) { return tensor(values, f64).requires_grad(true); }

/// grad of several results as the gradients of one number, from which it has to be the same.
std::vector<Tensor> by_sum(const TensorList& ys, const TensorList& xs, const TensorList& dys,
                           bool create_graph) {
  Tensor total = zeros({}, f64);
  for (std::size_t i = 0; i < ys.size(); ++i) total = total + sum(ys[i] * dys[i]);
  return grad(total, xs, {.create_graph = create_graph});
}

}  // namespace

TEST_CASE("grad of several results is the sum of their gradients") {
  const Tensor x = leaf({1, 2}), w = leaf({{1, 2}, {3, 4}, {5, 6}});
  const auto results = [&] { return std::vector<Tensor>{x * x, sum(w), w * x, sum(x)}; };
  const std::vector<Tensor> dys{tensor({3, 4}, f64), tensor(2, f64), w.detach(), tensor(5, f64)};
  for (const bool create_graph : {false, true}) {
    const GradOptions options{.cotangent = dys, .create_graph = create_graph};
    const auto got = grad(results(), {x, w}, options);
    const auto right = by_sum(results(), {x, w}, dys, create_graph);
    CHECK(close(got[0], right[0], 1e-14));
    CHECK(close(got[1], right[1], 1e-14));
    CHECK(got[0].requires_grad() == create_graph);
  }
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("grad of several results: cotangents of results with one element may be left out") {
  const Tensor x = leaf({1, 2});
  CHECK(same(grad({sum(x), sum(x * x)}, {x})[0], {3, 5}));
  CHECK(same(grad({sum(x), x * x}, {x}, {.cotangent = {{}, tensor({1, 2}, f64)}})[0], {3, 9}));
  CHECK(same(grad({x * x}, {x}, {.cotangent = {tensor({1, 2}, f64)}})[0], {2, 8}));
  const std::vector<Tensor> ys{sum(x), sum(x * x)}, xs{x};
  CHECK(same(grad(std::span(ys), std::span(xs))[0], {3, 5}));
}

TEST_CASE("grad of several results that share nodes, are among the inputs, or come of each other") {
  const Tensor x = leaf({1, 2}), dy = tensor({1, 10}, f64);
  const Tensor h = x * 3, y = h * h, z = sum(y);
  const GradOptions keep{.cotangent = {dy, dy, {}}, .retain_graph = true};
  // dz/dy = 1; dy/dh = 2 h = (6, 12); dh/dx = 3
  const auto g = grad({h, y, z}, {x, h, y, z}, keep);
  CHECK(same(g[2], {2, 11}));
  CHECK(same(g[1], {2 * 6 + 1, 11 * 12 + 10}));
  CHECK(same(g[0], {3 * 13, 3 * 142}));
  CHECK(g[3].item() == 1);
  const auto other_order = grad({z, y, h}, {x}, {.cotangent = {{}, dy, dy}, .retain_graph = true});
  CHECK(same(other_order[0], g[0]));
  CHECK(same(grad({h, h, h}, {x}, {.cotangent = {dy, dy, dy}, .retain_graph = true})[0], {9, 90}));
  CHECK(same(grad({x, z}, {x}, {.cotangent = {dy, {}}})[0], {1 + 18, 10 + 36}));
  CHECK(same(grad({x, x}, {x}, {.cotangent = {dy, dy}})[0], {2, 20}));
  CHECK(same(dy, {1, 10}));  // not added to in place
}

TEST_CASE("grad of several outputs of one operation") {
  const Tensor x = leaf({{1, 2}, {3, 4}, {5, 6}});
  const Tensor dy = tensor({1, 10}, f64);
  const auto rows = [&] { return unstack(x * x, 0); };
  const std::vector<Tensor> ys = rows();
  const auto g =
      grad({ys[2], ys[0], ys[2], sum(ys[0])}, {x, ys[0]}, {.cotangent = {dy, dy, dy, {}}});
  CHECK(same(g[0], {{4, 44}, {0, 0}, {20, 240}}));
  CHECK(same(g[1], {2, 11}));
  CHECK(same(grad(rows(), {x}, {.cotangent = {dy, dy, dy}})[0], {{2, 40}, {6, 80}, {10, 120}}));
}

TEST_CASE("grad of several results: second order by differences, by cotangents as well") {
  test::Draw draw(3);
  const auto gradients = [](T x, T w, T of_y, T of_z) {
    const detail::ModeScope recorded(detail::this_thread.recording, true);
    const Tensor y = tanh(matmul(x, w)), z = y * sum(x, 0);
    const auto g = grad({y, z, x}, {x, w, y}, {.cotangent = {of_y, of_z, x}, .create_graph = true});
    return sum(g[0] * x) + sum(g[1] * w) + sum(g[2] * g[2]);
  };
  CHECK(gradcheck(gradients, {draw.values({2, 3}), draw.values({3, 3}), draw.values({2, 3}),
                              draw.values({2, 3})}));
}

TEST_CASE("grad of several results consumes the graph of all of them, and leaves nothing behind") {
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2}), h = x * x, y = sum(h), z = sum(h * 2);
    CHECK(same(grad({y, z}, {x}, {.retain_graph = true})[0], {6, 12}));
    CHECK(same(grad({y, z}, {x})[0], {6, 12}));
    CHECK_THROWS_WITH_AS(grad(z, {x}), doctest::Contains("was consumed by an earlier"), Error);
    CHECK_THROWS_WITH_AS(grad({sum(x), y}, {x}), doctest::Contains("was consumed by an earlier"),
                         Error);
    CHECK(same(grad({sum(h), sum(h * 3)}, {h})[0], {4, 4}));  // up to h it is known
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("grad of several results: refusals, after which the graph is as it was") {
  const Tensor x = leaf({1, 2}), other = leaf({3, 4, 5}), constant = tensor({1, 2}, f64);
  const Tensor y = sum(x * x), z = x * 3, dz = tensor({1, 1}, f64);
  const TensorList yz{y, z};
  CHECK_REFUSED(grad(yz, x, {.cotangent = dz}), "grad: expected 2 cotangents, got 1");
  CHECK_REFUSED((grad(yz, x, {.cotangent = {{}, dz, dz}})), "grad: expected 2 cotangents, got 3");
  CHECK_REFUSED((grad(yz, x, {.cotangent = {{}, y}})),
                "grad: the cotangent is [] f64, but 'mul' is [2] f64");
  CHECK_REFUSED((grad(yz, x, {.cotangent = {{}, dz.to(f32)}})),
                "grad: the cotangent is [2] f32, but 'mul' is [2] f64");
  CHECK_REFUSED(grad(yz, x), "grad: 'mul' has shape [2], not one element");
  CHECK_REFUSED((grad({y, Tensor()}, x)), "an undefined tensor was used");
  CHECK_REFUSED((grad({y, sum(z)}, Tensor())), "an undefined tensor was used");
  CHECK_REFUSED(grad({}, x), "grad: expected one result or more, got none");
  CHECK_REFUSED((grad({y, sum(constant)}, x)),
                "grad: result 1 [] does not require a gradient; pass {.allow_unused = true} to "
                "leave it out");
  CHECK_REFUSED((grad({y, sum(z)}, constant)), "grad: input 0 [2] does not require a gradient");
  CHECK_REFUSED((grad({y, sum(z)}, {x, other})),
                "grad: 'sum' [], like the other results, does not depend on input 1 [3]; pass "
                "{.allow_unused = true} to get zeros");
  const auto g = grad({y, z, sum(constant), sum(other)}, {x},
                      {.cotangent = {{}, dz, {}, {}}, .allow_unused = true});
  CHECK(same(g[0], {5, 7}));
}

TEST_CASE("grad of several results leaves alone what leads to no input, when a rule throws too") {
  const Tensor x = leaf({1}), other = leaf({3}), apart = sum(other * other);
  const Tensor bad = record(
      "bad", [&] { return exp(exp(exp(x))); }, wrt(exp(exp(x)), [](T) { return Tensor(); }));
  CHECK_THROWS_WITH_AS(grad({apart, bad}, {x}, {.allow_unused = true}),
                       doctest::Contains("returned an undefined tensor"), Error);
  CHECK(same(grad(apart, {other})[0], {6}));
}

#include <doctest/doctest.h>

#include "support/compare.hpp"
#include "support/random_cases.hpp"

using namespace retrace;
using test::Draw;
using test::same;

namespace {

const Tensor table = tensor({{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}});

bool shares_elements(const Tensor& a, const Tensor& b) {
  return a.node().storage == b.node().storage;
}

/// Calls f(multi-index, its element) for all of x.
template <class F>
void for_each_element(const Tensor& x, F f) {
  const std::vector<double> values = x.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::vector<std::int64_t> at(static_cast<std::size_t>(x.rank()));
    std::int64_t rest = static_cast<std::int64_t>(i);
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      at[static_cast<std::size_t>(axis)] = rest % x.shape()[axis];
      rest /= x.shape()[axis];
    }
    f(at, values[i]);
  }
}

double element(const Tensor& x, const std::vector<std::int64_t>& at) {
  const Strides steps = row_major(x.shape());
  std::int64_t place = 0;
  for (std::size_t i = 0; i < at.size(); ++i) place += at[i] * steps[i];
  return x.to_vector<double>()[static_cast<std::size_t>(place)];
}

}  // namespace

TEST_CASE("reshape keeps the row-major order (of views too)") {
  CHECK(same(reshape(table, {2, 6}), {{0, 1, 2, 3, 4, 5}, {6, 7, 8, 9, 10, 11}}));
  CHECK(same(reshape(table, {6, -1}), reshape(table, {6, 2})));
  CHECK(same(reshape(transpose(table), {2, 6}), {{0, 4, 8, 1, 5, 9}, {2, 6, 10, 3, 7, 11}}));
  CHECK(same(reshape(slice(table, 1, 1, 3), {-1}), {1, 2, 5, 6, 9, 10}));
  CHECK(same(reshape(tensor({{5}}), {}), 5));
  CHECK(reshape(zeros({0, 3}), {7, 0, 2}).shape() == Shape{7, 0, 2});
  CHECK(reshape(zeros({0, 3}), {-1, 3}).shape() == Shape{0, 3});
  CHECK(shares_elements(reshape(table, {12}), table));
  CHECK_FALSE(shares_elements(reshape(transpose(table), {12}), table));
}

TEST_CASE("permute and transpose give views with other axes") {
  CHECK(same(transpose(table), {{0, 4, 8}, {1, 5, 9}, {2, 6, 10}, {3, 7, 11}}));
  CHECK(shares_elements(transpose(table), table));
  CHECK_FALSE(transpose(table).is_contiguous());
  CHECK(same(transpose(transpose(table)), table));
  CHECK(transpose(transpose(table)).is_contiguous());
  CHECK(same(permute(full({}, 3), {}), 3));
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const Tensor x = draw.values(draw.shape(3, 3));
    const std::vector<int> order = draw.one_of(
        {std::vector{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {-1, 1, -3}});
    const Tensor y = permute(x, Axes(order));
    for_each_element(y, [&](const std::vector<std::int64_t>& at, double v) {
      std::vector<std::int64_t> from(3);
      for (std::size_t i = 0; i < 3; ++i)
        from[static_cast<std::size_t>((order[i] + 3) % 3)] = at[i];
      CHECK(v == element(x, from));
    });
  }
}

TEST_CASE("slice follows Python where its ends lie outside the axis too") {
  CHECK(same(slice(table, 0, 1, 2), Literal({{4, 5, 6, 7}})));
  CHECK(same(slice(table, 1, 0, 4, 2), {{0, 2}, {4, 6}, {8, 10}}));
  CHECK(same(slice(table, 1, 1, 4, 2), {{1, 3}, {5, 7}, {9, 11}}));
  CHECK(same(slice(table, -1, -2, 100), {{2, 3}, {6, 7}, {10, 11}}));
  CHECK(same(slice(table, 1, -100, -3), {{0.0}, {4}, {8}}));
  CHECK(slice(table, 1, 3, 1).shape() == Shape{3, 0});
  CHECK(slice(table, 1, 4, 9).shape() == Shape{3, 0});
  CHECK(slice(table, 0, 0, 3, std::numeric_limits<std::int64_t>::max()).shape() == Shape{1, 4});
  CHECK(shares_elements(slice(table, 1, 0, 4, 2), table));
  // Every start, stop and step of an axis of 5, by a loop.
  const Tensor five = tensor({0.0, 1, 2, 3, 4}, f64);
  for (int start = -7; start <= 7; ++start)
    for (int stop = -7; stop <= 7; ++stop)
      for (int step = 1; step <= 6; ++step) {
        const auto clipped = [](int i) { return std::min(std::max(i < 0 ? i + 5 : i, 0), 5); };
        std::vector<double> expected;
        for (int i = clipped(start); i < clipped(stop); i += step) expected.push_back(i);
        CHECK(slice(five, 0, start, stop, step).to_vector<double>() == expected);
      }
}

TEST_CASE("select and unstack take an axis away") {
  CHECK(same(select(table, 0, 1), {4, 5, 6, 7}));
  CHECK(same(select(table, 1, -1), {3, 7, 11}));
  CHECK(same(select(tensor({5, 6}), 0, 1), 6));
  CHECK(shares_elements(select(table, 1, 2), table));
  for (int axis = -2; axis < 2; ++axis) {
    const std::vector<Tensor> parts = unstack(table, axis);
    CHECK(static_cast<std::int64_t>(parts.size()) == table.dim(axis));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      CHECK(same(parts[i], select(table, axis, static_cast<std::int64_t>(i))));
      CHECK(shares_elements(parts[i], table));
    }
    CHECK(same(stack(parts, axis), table));
  }
  CHECK(unstack(zeros({2, 0}), 1).empty());
}

TEST_CASE("unstack is one node of the graph and outputs left alone add zeros") {
  const Tensor x = tensor({{1, 2}, {3, 4}, {5, 6}}).requires_grad(true);
  std::vector<Tensor> parts = unstack(x, 0);
  const Tensor y = sum(parts[0] * parts[2]);
  int nodes = 0;
  for (const GraphNode& node : recorded_graph(y)) nodes += node.many_outputs;
  CHECK(nodes == 1);
  CHECK(same(grad(y, {x})[0], {{5, 6}, {0.0, 0}, {1, 2}}));
}

TEST_CASE("stack and concat") {
  const Tensor a = tensor({{1, 2}, {3, 4}}), b = tensor({{5, 6}, {7, 8}});
  CHECK(same(stack({a, b}, 0), {{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}}));
  CHECK(same(stack({a, b}, 1), {{{1, 2}, {5, 6}}, {{3, 4}, {7, 8}}}));
  CHECK(same(stack({a, b}, -1), {{{1, 5}, {2, 6}}, {{3, 7}, {4, 8}}}));
  CHECK(same(stack({full({}, 1), full({}, 2)}, 0), {1, 2}));
  CHECK(same(concat({a, b}, 0), {{1, 2}, {3, 4}, {5, 6}, {7, 8}}));
  CHECK(same(concat({a, transpose(b)}, -1), {{1, 2, 5, 7}, {3, 4, 6, 8}}));
  CHECK(same(concat({slice(a, 1, 1, 2), zeros({2, 0}), b}, 1), {{2, 5, 6}, {4, 7, 8}}));
  CHECK(same(stack({a, a}, 0), concat({reshape(a, {1, 2, 2}), reshape(a, {1, 2, 2})}, 0)));
  for (const DType dtype : {f32, f64, i64})
    CHECK(same(concat({tensor({1}, dtype), tensor({2, 3}, dtype)}, 0), tensor({1, 2, 3}, dtype)));
}

TEST_CASE("one tensor may stand in a list twice") {
  const Tensor x = tensor({1, 2}).requires_grad(true);
  CHECK(same(grad(sum(stack({x, x * x, x}, 0)), {x})[0], {4, 6}));
  CHECK(same(grad(sum(concat({x, x}, 0) * tensor({1, 2, 3, 4})), {x})[0], {4, 6}));
}

TEST_CASE("place and region_of undo each other") {
  const Tensor x = tensor({{1, 2}, {3, 4}});
  CHECK(same(place(x, {.axis = 1, .start = 1, .step = 2, .size = 2}, {2, 4}),
             {{0.0, 1, 0, 2}, {0.0, 3, 0, 4}}));
  CHECK(same(place(tensor({1, 2}), {.axis = 0, .start = 1, .drop = true}, {3, 2}),
             {{0.0, 0}, {1, 2}, {0.0, 0}}));
  CHECK(same(place(transpose(x), {.axis = 0, .size = 2}, {3, 2}), {{1, 3}, {2, 4}, {0.0, 0}}));
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const Shape shape = draw.shape(1);
    const Region region = draw.region(shape);
    const Tensor part = draw.values(region_of(zeros(shape), region).shape());
    CHECK(same(region_of(place(part, region, shape), region), part));
    CHECK(test::close(sum(place(part, region, shape)), sum(part), 1e-13, 1e-13));
  }
}

TEST_CASE("broadcast_to repeats without a copy and sum_to takes it back") {
  const Tensor x = tensor({{1}, {2}});
  CHECK(same(broadcast_to(x, {2, 3}), {{1, 1, 1}, {2, 2, 2}}));
  CHECK(same(broadcast_to(x, {2, 2, 2}), {{{1, 1}, {2, 2}}, {{1, 1}, {2, 2}}}));
  CHECK(shares_elements(broadcast_to(x, {2, 3}), x));
  CHECK(same(sum_to(tensor({{1, 2, 3}, {4, 5, 6}}), {2, 1}), {{6}, {15}}));
  CHECK(same(sum_to(tensor({{1, 2, 3}, {4, 5, 6}}), {3}), {5, 7, 9}));
  CHECK(same(sum_to(tensor({{1, 2, 3}, {4, 5, 6}}), {}), 21));
  CHECK(same(sum_to(zeros({0, 3}), {1, 3}), Literal({{0.0, 0, 0}})));
  CHECK(same(sum_to(tensor({{{1, 2}}}), {2}), {1, 2}));
}

TEST_CASE("a chain of views shows the same elements and its gradient lands in place") {
  const Tensor x = arange(0, 24, 1, f64).requires_grad(true);
  const Tensor y = select(slice(permute(reshape(x, {2, 3, 4}), {2, 0, 1}), 0, 1, 4, 2), 2, -1);
  CHECK(same(y, {{9, 21}, {11, 23}}));
  CHECK(shares_elements(x, y));
  std::vector<double> expected(24);
  expected[9] = 1, expected[21] = 2, expected[11] = 3, expected[23] = 4;
  CHECK(same(grad(sum(y * tensor({{1, 2}, {3, 4}}, f64)), {x})[0], tensor(expected, {24})));
  Tensor base = zeros({2, 3});
  const Tensor column = select(base, 1, 1);
  base.assign(tensor({{1, 2, 3}, {4, 5, 6}}));
  CHECK(same(column, {2, 5}));
}

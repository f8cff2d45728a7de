#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>

#include "support/compare.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

TEST_CASE("tensor: nested literals give shape and values, f32 unless told") {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.dtype() == f32);
  CHECK(x.at({1, 2}) == 6);
  CHECK(x.at({-1, -3}) == 4);
  CHECK(tensor(7).shape() == Shape{});
  CHECK(tensor({{1, 2}}).shape() == Shape{1, 2});
  CHECK(tensor({{{5}}}).shape() == Shape{1, 1, 1});
  CHECK(tensor({1, 2}, i64).at<std::int64_t>({1}) == 2);
  CHECK_THROWS_WITH_AS(tensor({{1, 2}, {3}}),
                       "tensor: the lists are not of equal shape: [2] and [1]", Error);
  CHECK_THROWS_WITH_AS(tensor({1.5}, i64), "tensor: 1.5 is no i64 within 2^53", Error);
}

TEST_CASE("tensor: from vectors, full, zeros, ones, arange") {
  CHECK(same(tensor(std::vector<double>{1, 2, 3, 4}, {2, 2}), {{1, 2}, {3, 4}}));
  CHECK_THROWS_WITH_AS(tensor(std::vector<float>{1, 2}, {3}),
                       "tensor: 2 values do not fill shape [3]", Error);
  CHECK(same(full({2}, 0.5), {0.5, 0.5}));
  CHECK(same(zeros({1, 2}), {{0, 0}}));
  CHECK(same(ones({2}, i64), {1, 1}));
  CHECK(same(arange(4), {0, 1, 2, 3}));
  CHECK(arange(4).dtype() == i64);
  CHECK(same(arange(1, 2, 0.25), {1, 1.25, 1.5, 1.75}));
  CHECK(same(arange(3, 0, -1), {3, 2, 1}));
  CHECK(arange(3, 0).shape() == Shape{0});
  CHECK_THROWS_WITH_AS(arange(0, 2, 0.5, i64), "arange: 0.5 is no i64 within 2^53", Error);
  CHECK_THROWS_WITH_AS(full({2}, 1.5, i64), "full: 1.5 is no i64 within 2^53", Error);
  CHECK_THROWS_WITH_AS(arange(3).fill(2.7), "fill: 2.7 is no i64 within 2^53", Error);
  CHECK_THROWS_WITH_AS(arange(0, 1, 0), Contains("a step that is not 0"), Error);
}

TEST_CASE(
    "tensor: a whole number that a double cannot tell from its neighbour is refused and not "
    "rounded") {
  constexpr std::int64_t limit = std::int64_t{1} << 53;
  CHECK(tensor({limit - 1, 1 - limit}, i64).at<std::int64_t>({1}) == 1 - limit);
  CHECK_THROWS_WITH_AS(tensor({limit + 1}, i64), Contains("tensor: 9007199254740992 is no i64"),
                       Error);
  CHECK_THROWS_WITH_AS(full({}, -0x1p53, i64), Contains("full: -9007199254740992 is no i64"),
                       Error);
  CHECK(tensor(std::vector{limit + 1}, {1}).item<std::int64_t>() == limit + 1);
  CHECK_THROWS_WITH_AS((void)(arange(3) == 0x1p53),
                       Contains("compared with 9007199254740992, which is no i64"), Error);
}

TEST_CASE("tensor: impossible shapes are refused") {
  CHECK_THROWS_WITH_AS(zeros({2, -1}), "a size must not be negative: [2, -1]", Error);
  CHECK_THROWS_WITH_AS(zeros({1, 1, 1, 1, 1, 1, 1}), "a tensor has at most 6 axes, got 7", Error);
  constexpr std::int64_t large = std::int64_t{1} << 40;
  CHECK_THROWS_WITH_AS(empty({large, large}), Contains("too many elements"), Error);
}

template <class T>
constexpr bool has_span = requires(T&& t) {
  std::forward<T>(t).template span<float>();
};

TEST_CASE("tensor: item, at and spans check what they are asked for") {
  const Tensor x = tensor({{1, 2}, {3, 4}});
  CHECK(tensor({{5}}).item() == 5);
  CHECK(tensor(-2.7).item<std::int64_t>() == -2);
  CHECK_THROWS_WITH_AS(full({}, NaN).item<std::int64_t>(), "item: nan does not fit i64", Error);
  CHECK_THROWS_WITH_AS(full({1}, -1e19).at<std::int64_t>({0}), Contains("at: -9.99"), Error);
  CHECK(full({}, -0x1p63, f64).item<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
  CHECK_THROWS_WITH_AS(full({}, 0x1p63, f64).to(i64), Contains("does not fit i64"), Error);
  CHECK_THROWS_WITH_AS(x.item(), "item: expected one element, got shape [2, 2]", Error);
  CHECK_THROWS_WITH_AS(x.at({0, 2}), "at: index 2 is out of range for axis 1 of shape [2, 2]",
                       Error);
  CHECK_THROWS_WITH_AS(x.at({0}), "at: expected 2 indices for shape [2, 2], got 1", Error);
  CHECK_THROWS_WITH_AS(x.span<double>(), "span: the tensor [2, 2] is f32, not f64", Error);
  const Tensor view = transpose(x);
  CHECK_THROWS_WITH_AS(view.span<float>(), Contains("a view that is not contiguous"), Error);
  CHECK(has_span<const Tensor&>);
  CHECK_FALSE(has_span<Tensor>);  // whose elements would be gone
  CHECK(transpose(x).to_vector<float>() == std::vector<float>{1, 3, 2, 4});
  CHECK_THROWS_WITH_AS(x.dim(2), "dim: axis 2 is out of range for shape [2, 2]", Error);
}

TEST_CASE("tensor: copies share, clone copies, views write through") {
  Tensor x = tensor({{1, 2}, {3, 4}});
  const Tensor shared = x, copy = x.clone();
  Tensor column = select(x, 1, 0);
  column.fill(9);
  CHECK(same(shared, {{9, 2}, {9, 4}}));
  CHECK(same(copy, {{1, 2}, {3, 4}}));
  column.assign(tensor({5, 6}));
  CHECK(same(x, {{5, 2}, {6, 4}}));
  x.assign(transpose(x));  // from a view of itself
  CHECK(same(x, {{5, 6}, {2, 4}}));
}

TEST_CASE("tensor: assign refuses another shape or dtype and changes nothing") {
  Tensor x = tensor({1, 2});
  CHECK_THROWS_WITH_AS(x.assign(tensor({1, 2, 3})), "assign: expected [2] f32, got [3] f32", Error);
  CHECK_THROWS_WITH_AS(x.assign(tensor({1, 2}, f64)), "assign: expected [2] f32, got [2] f64",
                       Error);
  CHECK(same(x, {1, 2}));
}

TEST_CASE("tensor: conversion between dtypes is differentiable between floats and exact to i64") {
  Tensor x = tensor({1.5, -2.5}).requires_grad(true);
  const Tensor y = x.to(f64);
  CHECK(y.dtype() == f64);
  sum(y * y).backward();
  CHECK(same(x.grad(), {3, -5}));
  CHECK(same(x.detach().to(i64), {1, -2}));
  CHECK(x.to(f32).same_as(x));
  CHECK(same(arange(3).to(f64), {0, 1, 2}));
}

TEST_CASE("generator: the sequence is pinned, copies share it and clones start equal") {
  Generator g(42);
  CHECK(g.next() == 1546998764402558742U);
  Generator shared = g, copy = g.clone();
  const std::uint64_t next = copy.next();
  CHECK(shared.next() == next);
  CHECK(g.next() != next);
  const Generator::State state = g.state();
  const double u = g.uniform();
  g.set_state(state);
  CHECK(g.uniform() == u);
  for (int i = 0; i < 100; ++i) CHECK(g.below(3) < 3);
}

TEST_CASE("generator: one that was moved from goes on as a copy would") {
  Generator g(1);
  const Generator moved = std::move(g);
  CHECK(g.same_as(moved));
  CHECK(g.uniform() != moved.uniform());
}

TEST_CASE("uniform: rounding never reaches the upper bound") {
  Generator largest(1);  // draws the largest number below 1
  const Generator::State state{0, 0x4fc71c71c71c71c7, 0, 0};
  largest.set_state(state);
  REQUIRE(largest.uniform() == 1 - 0x1p-53);
  const auto draw = [&](double low, double high, DType dtype) {
    largest.set_state(state);
    return uniform({}, low, high, largest, dtype).item();
  };
  CHECK(draw(0, 1, f32) == 1 - 0x1p-24);
  CHECK(draw(-3, 0.1, f32) < 0.1F);
  CHECK(draw(0, 1, f64) == 1 - 0x1p-53);
  CHECK(draw(1, 2, f64) == 2 - 0x1p-52);
  CHECK(draw(2, 2, f32) == 2);
}

TEST_CASE("random tensors: moments, bounds and seeds") {
  const Tensor x = randn({10000}, Generator(1), f64),
               u = uniform({10000}, -2, 3, Generator(1), f64);
  CHECK(mean(x).item() == doctest::Approx(0).epsilon(0.05));
  CHECK(mean(x * x).item() == doctest::Approx(1).epsilon(0.05));
  CHECK(max(u).item() < 3);
  CHECK(-max(-u).item() >= -2);
  CHECK(mean(u).item() == doctest::Approx(0.5).epsilon(0.1));
  CHECK(same(randn({5}, Generator(1), f64), slice(x, 0, 0, 5)));
}

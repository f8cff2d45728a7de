#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "core/ops/op_rows.hpp"
#include "support/compare.hpp"

using namespace retrace;
using test::Draw;
using test::OpCase;
using test::OpRow;

// Whatever is changed in place between forward and backward: either an error that says so and names
// an operation, or the gradient as it would have been. Never a third thing.
namespace {

std::vector<Tensor> leaves_of(const OpCase& made) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : made.inputs)
    if (x.dtype() == f64) leaves.push_back(x);
  return leaves;
}

/// Other values of the same kind, as a program that reuses a buffer would write them.
void overwrite(Tensor x) {
  if (x.dtype() == i64)
    x.fill(0);
  else
    x.assign(no_grad([&] { return x * 0.5 + 0.125; }));
}

struct Outcome {
  int refused = 0, right = 0;
};

/// One call of the row, with what `change` changes in it.
template <class Change>
void check(const OpRow& row, std::uint64_t seed, Outcome& outcome, Change change) {
  INFO("row '", row.name, "', seed ", seed);
  Draw draw(seed);
  const OpCase made = row.draw(draw);
  for (Tensor x : leaves_of(made)) x.requires_grad(true);
  const Tensor dy = draw.values(made.f(made.inputs).shape());
  const auto gradients = [&](const Tensor& y) {
    return grad(y, leaves_of(made), {.cotangent = dy, .allow_unused = true});
  };
  const std::vector<Tensor> expected = gradients(made.f(made.inputs));
  const Tensor y = made.f(made.inputs);
  if (!change(made, y)) return;
  try {
    const std::vector<Tensor> actual = gradients(y);
    for (std::size_t i = 0; i < actual.size(); ++i) CHECK(test::same(actual[i], expected[i]));
    ++outcome.right;
  } catch (const Error& e) {
    const std::string message = e.what();
    CAPTURE(message);
    CHECK(message.rfind("backward of '", 0) == 0);
    CHECK(message.find("was changed in place after the forward pass") != std::string::npos);
    ++outcome.refused;
  }
}

template <class Change>
Outcome check_all(Change change) {
  Outcome outcome;
  for (const OpRow& row : test::all_rows())
    for (std::uint64_t seed = 1; seed <= 12; ++seed) check(row, seed, outcome, change);
  return outcome;
}

}  // namespace

TEST_CASE("stale values: any input of any operation changed before backward") {
  for (const std::size_t place : {0, 1, 2}) {
    const Outcome outcome = check_all([place](const OpCase& made, const Tensor&) {
      if (place < made.inputs.size()) overwrite(made.inputs[place]);
      return place < made.inputs.size();
    });
    if (place < 2) CHECK(outcome.refused > 50);
    CHECK(outcome.right > 0);
  }
}

TEST_CASE("stale values: the result of any operation changed before backward") {
  const Outcome outcome = check_all([](const OpCase&, const Tensor& y) {
    overwrite(y.detach().is_contiguous() ? y.detach() : y.detach().clone());
    return true;
  });
  CHECK(outcome.refused > 50);
  CHECK(outcome.right > 50);
}

TEST_CASE(
    "stale values: a change in place through any handle or view reaches the packed form of a "
    "matrix") {
  Tensor w = randn({96, 96}, Generator(1), f64);
  const Tensor x = randn({96, 96}, Generator(2), f64);
  const auto up_to_date = [&] {
    for (int i = 0; i < 3; ++i) CHECK(test::same(matmul(x, w), matmul(x, w.clone())));
    for (int i = 0; i < 3; ++i)
      CHECK(test::same(matmul(x, transpose(w)), matmul(x, transpose(w).clone())));
  };
  up_to_date();
  w.fill(0.5);
  up_to_date();
  w.detach().mutable_span<double>()[7] = 3;
  up_to_date();
  select(w, 1, 5).fill(9);
  up_to_date();
  slice(transpose(w), 0, 3, 50, 4).assign(ones({12, 96}, f64));
  up_to_date();
  w.assign(transpose(w));
  up_to_date();
}

TEST_CASE("stale values: a change in place is noticed by gradients of gradients") {
  Tensor x = tensor({1, 2}, f64).requires_grad(true);
  const Tensor first = grad(sum(exp(x) * x * x), {x}, {.create_graph = true})[0];
  SUBCASE("of the leaf") { x.fill(3); }
  SUBCASE("of the first gradient") { first.detach().fill(3); }
  try {
    const Tensor second = grad(sum(first), {x})[0];
    CHECK(test::close(second, tensor({7 * std::exp(1.0), 14 * std::exp(2.0)}, f64), 1e-14));
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find("changed in place") != std::string::npos);
  }
}

TEST_CASE("stale values: what is assigned to must have its elements to itself") {
  Tensor row = tensor({1, 2});
  const std::string text =
      "assign: axis 0 of this view [3, 2] repeats elements; assign to a clone() of it";
  CHECK_THROWS_WITH_AS(broadcast_to(row, {3, 2}).assign(ones({3, 2})), text.c_str(), Error);
  CHECK(test::same(row, {1, 2}));
  broadcast_to(row, {3, 2}).fill(5);  // one value for all
  CHECK(test::same(row, {5, 5}));
  broadcast_to(row, {1, 2}).assign(tensor({{6, 7}}));
  CHECK(test::same(row, {6, 7}));
  zeros({2, 0}).assign(zeros({2, 0}));
}

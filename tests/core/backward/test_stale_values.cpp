#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>

#include "core/ops/op_rows.hpp"
#include "support/compare.hpp"

using namespace retrace;
using namespace retrace::test;

// What is changed in place between forward and backward: an error that says so and names an
// operation if a rule reads it, and the gradient as it would have been if none does.
namespace {

/// What the rules of a row read: its inputs by their places, y for its result. A row that is not
/// here reads neither, or a copy.
const std::map<std::string, std::string> read_by_rules = {
    {"mul", "01"},
    {"mul: with itself", "0"},
    {"div", "1y"},
    {"div: of a number", "0y"},
    {"pow", "0"},
    {"maximum", "01"},
    {"minimum", "01"},
    {"maximum: with a number", "0"},
    {"minimum: with a number", "0"},
    {"clamp", "0"},
    {"where", "0"},
    {"where: or a number", "0"},
    {"tanh", "y"},
    {"tanh_vjp", "01"},
    {"sigmoid", "y"},
    {"sigmoid_vjp", "01"},
    {"exp", "y"},
    {"log", "0"},
    {"sqrt", "y"},
    {"relu", "y"},
    {"abs", "0"},
    {"slice: parts that overlap", "0"},
    {"unstack", "0"},
    {"concat: a tensor with itself", "0"},
    {"max", "0y"},
    {"softmax", "y"},
    {"log_softmax", "y"},
    {"gather", "1"},
    {"gather: rows", "1"},
    {"scatter_add", "1"},
    {"scatter_add: rows", "1"},
    {"embedding", "1"},
    {"matmul", "01"},
    {"matmul: transposed operands", "01"},
    {"matmul: batches", "01"},
    {"matmul: a matrix by its own transpose", "0"},
    {"addmm", "12"},
    {"addmm: an expiring addend", "12"},
    {"checkpoint", "01"},
};

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
  else if (!x.is_contiguous())
    x.fill(0.125);  // its elements may lie in one place
  else
    x.assign(no_grad([&] { return x * 0.5 + 0.125; }));
}

/// One call of the row, with one part of it changed: an input, by its place, or y.
void check(const OpRow& row, std::uint64_t seed, char part) {
  INFO("row '", row.name, "', seed ", seed, ", change of ", part);
  Draw draw(seed);
  const OpCase made = row.draw(draw);
  const bool is_result = part == 'y';
  const auto place = static_cast<std::size_t>(part - '0');
  if (!is_result && place >= made.inputs.size()) return;
  for (Tensor x : leaves_of(made)) x.requires_grad(true);
  const Tensor dy = draw.values(made.f(made.inputs).shape());
  const auto gradients = [&](const Tensor& y) {
    return grad(y, leaves_of(made), {.cotangent = dy, .allow_unused = true});
  };
  const std::vector<Tensor> expected = gradients(made.f(made.inputs));
  const auto found = read_by_rules.find(row.name);
  const bool is_read =
      found != read_by_rules.end() && found->second.find(part) != std::string::npos;
  const Tensor y = made.f(made.inputs);
  overwrite(is_result ? y.detach() : made.inputs[place]);
  try {
    const std::vector<Tensor> actual = gradients(y);
    CHECK_FALSE(is_read);
    for (std::size_t i = 0; i < actual.size(); ++i) CHECK(same(actual[i], expected[i]));
  } catch (const Error& e) {
    const std::string message = e.what();
    CAPTURE(message);
    CHECK(is_read);
    CHECK(message.rfind("backward of '", 0) == 0);
    CHECK(message.find("was changed in place after the forward pass") != std::string::npos);
  }
}

void check_all(char part) {
  for (const OpRow& row : all_rows())
    for (std::uint64_t seed = 1; seed <= 12; ++seed) check(row, seed, part);
}

}  // namespace

TEST_CASE("stale values: any input of any operation changed before backward") {
  for (const char place : {'0', '1', '2'}) check_all(place);
}

TEST_CASE("stale values: the result of any operation changed before backward") { check_all('y'); }

TEST_CASE(
    "stale values: a change in place through any handle or view reaches the packed form of a "
    "matrix") {
  Tensor w = randn({96, 96}, Generator(1), f64);
  const Tensor x = randn({96, 96}, Generator(2), f64);
  const auto up_to_date = [&] {
    for (int i = 0; i < 3; ++i) CHECK(same(matmul(x, w), matmul(x, w.clone())));
    for (int i = 0; i < 3; ++i)
      CHECK(same(matmul(x, transpose(w)), matmul(x, transpose(w).clone())));
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
  SUBCASE("of the leaf, which they read") {
    x.fill(3);
    CHECK_THROWS_WITH_AS(grad(sum(first), {x}), doctest::Contains("changed in place"), Error);
  }
  SUBCASE("of the first gradient, which they do not") {
    first.detach().fill(3);
    CHECK(close(grad(sum(first), {x})[0], {7 * std::exp(1.0), 14 * std::exp(2.0)}, 1e-14));
  }
}

TEST_CASE("stale values: what is assigned to must have its elements to itself") {
  Tensor row = tensor({1, 2});
  const std::string text =
      "assign: axis 0 of this view [3, 2] repeats elements; assign to a clone() of it";
  CHECK_THROWS_WITH_AS(broadcast_to(row, {3, 2}).assign(ones({3, 2})), text.c_str(), Error);
  CHECK(same(row, {1, 2}));
  broadcast_to(row, {3, 2}).fill(5);  // one value for all
  CHECK(same(row, {5, 5}));
  broadcast_to(row, {1, 2}).assign(tensor({{6, 7}}));
  CHECK(same(row, {6, 7}));
  zeros({2, 0}).assign(zeros({2, 0}));
}

#include <doctest/doctest.h>

#include <string>

#include "support/compare.hpp"
#include "support/random_cases.hpp"

using namespace retrace;
using test::same;

// Operations as users write them, whose rules say how their cotangent is made and where it lands.
namespace {

using T = const Tensor&;

/// Rows of x [n, k] times w [k, m], with rules that say how and where: products, a slice, elements
/// at an index.
Tensor layer(const Tensor& rows, const Tensor& w) {
  return record(
      "layer", [&] { return matmul(rows, w); },
      wrt(rows, keep(w), [](T dy, T w) { return product(dy, transposed(w)); }),
      wrt(w, keep(rows), [](T dy, T rows) { return product(transposed(rows), dy); }));
}
Tensor second_of(const Tensor& x) {
  const Region second{.axis = 0, .start = 1, .drop = true};
  return record(
      "second_of", [&] { return select(x, 0, 1); }, wrt(x, [second](T dy) {
        return Placed{dy, second};
      }));
}
Tensor pick(const Tensor& x, const Tensor& index) {
  return record(
      "pick", [&] { return gather(x, index, 0); }, wrt(x, keep(index), [](T dy, T index) {
        return Scattered{dy, index, -1};
      }));
}
Tensor rows_of(const Tensor& x, const Tensor& index) {
  return record(
      "rows_of", [&] { return embedding(x, index); }, wrt(x, keep(index), [](T dy, T index) {
        return Scattered{dy, index, 0};
      }));
}

const Tensor x = tensor({0.5, -1, 2}, f64);

/// An operation on `input` whose rule is `rule` is refused in backward, recorded or not, by an
/// error with this text.
template <class Rule>
void refuses(const Tensor& input, Rule rule, const std::string& text) {
  for (const bool create_graph : {false, true}) {
    INFO("expected '", text, create_graph ? std::string("' with create_graph") : std::string("'"));
    const Tensor y = record(
        "mine", [&] { return input * 1; }, wrt(input, rule));
    std::string message;
    try {
      grad(y * 1, {input}, {.cotangent = ones(y.shape(), f64), .create_graph = create_graph});
    } catch (const Error& e) {
      message = e.what();
    }
    CAPTURE(message);
    CHECK(message.rfind(fmt::format("backward of 'mine' {}: ", y.shape()), 0) == 0);
    CHECK(message.find(text) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("rules of users may say how their cotangent is made and where it lands") {
  test::Draw draw(1);
  const Tensor index = tensor({2, 0, 2}, i64);
  // Alone, and added to what is there already and is added later.
  CHECK(
      gradcheck([](T a, T w) { return layer(a, w); }, {draw.values({2, 3}), draw.values({3, 2})}));
  CHECK(gradcheck([](T a) { return layer(layer(a, a), a * a) + a; }, {draw.values({3, 3})}));
  CHECK(gradcheck([](T a) { return second_of(a) * second_of(a * a) + select(a, 0, 0); },
                  {draw.values({3, 2})}));
  CHECK(gradcheck([](T a, T i) { return pick(a, i) * pick(a * a, i) + a; }, {x, index}));
  CHECK(gradcheck([](T a, T i) { return rows_of(a, i) * rows_of(a * a, i) + a; },
                  {draw.values({3, 2}), index}));
}

TEST_CASE("a rule whose cotangent does not fit is an error that names its operation") {
  const Tensor leaf = x.clone().requires_grad(true), table = ones({2, 3}, f64).requires_grad(true);
  refuses(
      leaf, [](T) { return zeros({2}, f64); }, "[3]");
  refuses(
      leaf, [](T dy) { return dy.to(f32); }, "f32");
  refuses(
      leaf, [](T) { return Tensor(); }, "undefined");
  refuses(
      table, [](T dy) { return product(dy, dy); }, "[2, 3]");
  refuses(
      table, [](T dy) { return product(transposed(dy), dy); }, "[2, 3]");
  refuses(
      table,
      [](T) {
        return product(ones({2, 1}, f64), ones({1, 3}));
      },
      "f32");
  refuses(
      leaf,
      [](T) {
        return product(full({}, 1, f64), ones({1, 3}, f64));
      },
      "");
  refuses(
      leaf,
      [](T dy) {
        return Placed{dy, {.axis = 0, .start = 1, .size = 3}};
      },
      "place: 3 elements from 1");
  refuses(
      leaf,
      [](T dy) {
        return Placed{dy, {.axis = 0, .size = 2}};
      },
      "place: expected shape [2], got [3]");
  refuses(
      leaf,
      [](T dy) {
        return Scattered{dy, tensor({0, 1, 3}, i64), 0};
      },
      "scatter_add: index 3 is out of range");
  refuses(
      leaf,
      [](T dy) {
        return Scattered{dy, tensor({0, 1}, i64), 0};
      },
      "scatter_add: values [3] and index [2]");
  refuses(
      leaf,
      [](T dy) {
        return Scattered{dy, tensor({0, 1, 2}, i64), 1};
      },
      "scatter_add: axis 1");
  refuses(
      table,
      [](T dy) {
        return Scattered{dy, tensor({0, 2}, i64), 0};
      },
      "scatter_add: index 2 is out of range");
  refuses(
      table,
      [](T dy) {
        return Scattered{dy, tensor({0.0}, i64), 0};
      },
      "scatter_add: values [2, 3] and index [1] do not fit [2, 3]");
}

TEST_CASE("a rule whose cotangent has another dtype is an error that names its operation") {
  const Tensor leaf = x.clone().requires_grad(true), table = ones({2, 3}, f64).requires_grad(true);
  refuses(
      table,
      [](T) {
        return product(ones({2, 1}), ones({1, 3}));
      },
      "f32");
  refuses(
      leaf,
      [](T dy) {
        return Placed{dy.to(f32), {.axis = 0, .size = 3}};
      },
      "f32");
  refuses(
      leaf,
      [](T dy) {
        return Scattered{dy.to(f32), tensor({0, 1, 2}, i64), 0};
      },
      "f32");
  refuses(
      table,
      [](T dy) {
        return Scattered{dy.to(f32), tensor({0, 1}, i64), 0};
      },
      "f32");
}

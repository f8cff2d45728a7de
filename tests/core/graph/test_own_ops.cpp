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

TEST_CASE("what the value of an operation of users refuses has its name in front (once)") {
  const Tensor whole = arange(3), single = x.to(f32);
  const auto text_of = [](auto run) {
    try {
      static_cast<void>(run());
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto mine = [](auto value) { return [value] { return record("mine", value); }; };
  const auto add = [](auto a, auto b) { return a + b; };
  const auto twice = [](auto v) { return v * 2; };
  CHECK(text_of(mine([&] { return map(whole, twice); })) ==
        "mine: expected f32 or f64, got i64 of shape [3]; cast with .to(f32)");
  CHECK(text_of(mine([&] { return zip(x, single, add); })) ==
        "mine: dtypes differ: f64 [3] and f32 [3]; cast one with .to(f64)");
  CHECK(text_of(mine(zipping(x, single, add))) ==
        "mine: dtypes differ: f64 [3] and f32 [3]; cast one with .to(f64)");
  // An operation within it has named them, and so has whoever wrote the text.
  CHECK(text_of(mine([&] { return x * single; })) ==
        "mul: dtypes differ: f64 [3] and f32 [3]; cast one with .to(f64)");
  CHECK(text_of(mine([&] { return select(x, 0, 3); })) ==
        "select: index 3 is out of range for axis 0 of shape [3]");
  CHECK(text_of(mine([]() -> Tensor { throw Error("mine: no"); })) == "mine: no");
  CHECK(text_of([&] { return map(whole, twice); }) ==
        "expected f32 or f64, got i64 of shape [3]; cast with .to(f32)");
}

TEST_CASE("mapping and zipping take over the operands that an operation takes by value") {
  const auto negated = [](Tensor a) {
    return record("negated", mapping(a, [](auto v) { return -v; }));
  };
  const auto scaled = [](Tensor a) {
    return record("scaled", mapping(a, 2, [](auto v, auto c) { return v * c; }));
  };
  const auto difference = [](Tensor a, Tensor b) {
    return record("difference", zipping(a, b, [](auto u, auto v) { return u - v; }));
  };
  Tensor a = x.clone();
  const void* const elements = a.data<double>();
  CHECK(negated(a).data<double>() != elements);
  CHECK(a.to_vector<double>() == std::vector<double>{0.5, -1, 2});
  a = negated(std::move(a));
  CHECK(a.to_vector<double>() == std::vector<double>{-0.5, 1, -2});
  a = scaled(std::move(a));
  CHECK(a.to_vector<double>() == std::vector<double>{-1, 2, -4});
  a = difference(std::move(a), x);
  CHECK(a.to_vector<double>() == std::vector<double>{-1.5, 3, -6});
  a = difference(x, std::move(a));
  CHECK(a.to_vector<double>() == std::vector<double>{2, -4, 8});
  CHECK(a.data<double>() == elements);
}

TEST_CASE("a rule is handed what it asks for (kept values and the result or neither)") {
  const Tensor a = x.clone().requires_grad(true), b = (x + 3).requires_grad(true);
  // d(a b) by rules that say dy b as dy y / a.
  const auto product_of = [](T a, T b) {
    return record("product_of", zipping(a, b, [](auto u, auto v) { return u * v; }),
                  wrt(a, keep(a), with_result, [](T dy, T a, T y) { return dy * (y / a); }),
                  wrt(b, keep(b), with_result, [](T dy, T b, T y) { return dy * (y / b); }));
  };
  const auto root = [](T a) {
    return record(
        "root", [&] { return sqrt(a); },
        wrt(a, with_result, [](T dy, T y) { return dy / (y * 2); }));
  };
  CHECK(gradcheck(product_of, {a, b}));
  CHECK(gradcheck(root, {b}));
  const Tensor y = product_of(a, b);
  y.detach().fill(1);
  CHECK_THROWS_WITH_AS(
      sum(y).backward(),
      doctest::Contains("backward of 'product_of' [3]: its result [3] was changed in place"),
      Error);
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

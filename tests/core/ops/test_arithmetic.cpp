#include <doctest/doctest.h>

#include <cmath>

#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// Where in a tensor of shape `from` the element lies that broadcasting puts at place i of one of
/// shape `to`.
std::size_t source_of(std::int64_t i, const Shape& to, const Shape& from) {
  std::int64_t place = 0, step = 1;
  for (int axis = 1; axis <= to.rank(); ++axis) {
    const std::int64_t size = to[to.rank() - axis], at = i % size;
    i /= size;
    if (axis > from.rank()) continue;
    const std::int64_t own = from[from.rank() - axis];
    if (own != 1) place += at * step;
    step *= own;
  }
  return static_cast<std::size_t>(place);
}

template <class T, class F>
Tensor broadcast_by_hand(const Tensor& a, const Tensor& b, const Shape& shape, F f) {
  const std::vector<T> x = a.to_vector<T>(), y = b.to_vector<T>();
  std::vector<T> out;
  for (std::int64_t i = 0; i < shape.size(); ++i)
    out.push_back(f(x[source_of(i, shape, a.shape())], y[source_of(i, shape, b.shape())]));
  return tensor(out, shape);
}

Shape larger_sizes(const Shape& a, const Shape& b) {
  Shape shape = a.rank() > b.rank() ? a : b;
  const Shape& other = a.rank() > b.rank() ? b : a;
  for (int i = 1; i <= other.rank(); ++i) {
    std::int64_t& size = shape[shape.rank() - i];
    if (size == 1) size = other[other.rank() - i];
  }
  return shape;
}

/// The same values as a view whose steps are not those of its shape.
Tensor strided(const Tensor& x) {
  return x.rank() < 2 ? slice(stack({x, x}, x.rank()), x.rank(), 0, 1).clone()
                      : transpose(transpose(x, 0, -1).clone(), 0, -1);
}

}  // namespace

namespace {
template <class T>
void check_broadcasting() {
  CAPTURE(dtype_of<T>);
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const Shape full = draw.shape(0, 6);
    Tensor a = draw.values(draw.broadcasting_to(full)).to(dtype_of<T>),
           b = draw.values(draw.broadcasting_to(full)).to(dtype_of<T>);
    const Shape shape = larger_sizes(a.shape(), b.shape());
    if (a.rank() > 1 && draw.chance(0.5)) a = strided(a);
    if (b.rank() > 1 && draw.chance(0.5)) b = strided(b);
    CHECK(same(a + b, broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return x + y; })));
    CHECK(same(a - b, broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return x - y; })));
    CHECK(same(a * b, broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return x * y; })));
    CHECK(same(a / b, broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return x / y; })));
    CHECK(same(maximum(a, b),
               broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return std::max(x, y); })));
    CHECK(same(less(a, b), broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return T(x < y); })));
    CHECK(
        same(broadcast_to(a, shape), broadcast_by_hand<T>(a, a, shape, [](T x, T) { return x; })));
    const Tensor condition = a < 0.0;
    CHECK(same(where(condition, a, b),
               broadcast_by_hand<T>(a, b, shape, [](T x, T y) { return x < 0 ? x : y; })));
  }
}
}  // namespace

TEST_CASE("operands of any shapes that broadcast combine as in NumPy") {
  check_broadcasting<float>();
  check_broadcasting<double>();
}

TEST_CASE("a row and a column make a table") {
  const Tensor row = tensor({1, 2, 3}), column = tensor({{10}, {20}});
  CHECK(same(row + column, {{11, 12, 13}, {21, 22, 23}}));
  CHECK(same(column - row, {{9, 8, 7}, {19, 18, 17}}));
  CHECK(same(column * row, {{10, 20, 30}, {20, 40, 60}}));
  CHECK((zeros({0, 3}) + zeros({1})).shape() == Shape{0, 3});
  CHECK((zeros({2, 1}) * zeros({0})).shape() == Shape{2, 0});
  CHECK((full({}, 2) + full({}, 3)).item() == 5);
}

TEST_CASE("numbers stand on either side") {
  for (const DType dtype : {f32, f64}) {
    const Tensor x = tensor({1, -2, 4}, dtype);
    CHECK(same(x + 3, {4, 1, 7}));
    CHECK(same(3 + x, {4, 1, 7}));
    CHECK(same(x - 3, {-2, -5, 1}));
    CHECK(same(3 - x, {2, 5, -1}));
    CHECK(same(x * 3, {3, -6, 12}));
    CHECK(same(3 * x, {3, -6, 12}));
    CHECK(same(x / 2, {0.5, -1, 2}));
    CHECK(same(2 / x, {2, -1, 0.5}));
    CHECK(same(-x, {-1, 2, -4}));
    CHECK((3 - x).dtype() == dtype);
  }
}

TEST_CASE("powers follow std::pow") {
  CHECK(same(pow(tensor({-2, 0, 3}, f64), 2), {4, 0, 9}));
  CHECK(same(pow(tensor({-2, 0, 3}, f64), 0), {1, 1, 1}));
  CHECK(same(pow(tensor({4, 0.25}, f64), -0.5), {0.5, 2}));
  CHECK(same(pow(tensor({-4, 0}, f64), 0.5), {NaN, 0}));
  CHECK(same(pow(tensor({0.0, 1}, f64), -1), {inf, 1}));
}

TEST_CASE("the larger and the smaller of two: NaN wins on either side") {
  const Tensor a = tensor({1, 5, NaN, 1, -inf}, f64), b = tensor({2, 4, 1, NaN, inf}, f64);
  CHECK(same(maximum(a, b), {2, 5, NaN, NaN, inf}));
  CHECK(same(minimum(a, b), {1, 4, NaN, NaN, -inf}));
  CHECK(same(maximum(a, 3), {3, 5, NaN, 3, 3}));
  CHECK(same(minimum(a, 3), {1, 3, NaN, 1, -inf}));
  CHECK(same(clamp(a, 0, 2), {1, 2, NaN, 1, 0}));
  CHECK(same(clamp(a, 2, 2), {2, 2, NaN, 2, 2}));
}

TEST_CASE("the gradient of a tie is shared and that of a bound passes") {
  const auto gradients = [](auto f, Tensor a, Tensor b) {
    a.requires_grad(true);
    b.requires_grad(true);
    return grad(sum(f(a, b)), {a, b});
  };
  const Tensor a = tensor({1, 2, 3}), b = tensor({2, 2, 2});
  const auto larger = gradients([](const Tensor& x, const Tensor& y) { return maximum(x, y); },
                                a.clone(), b.clone());
  CHECK(same(larger[0], {0, 0.5, 1}));
  CHECK(same(larger[1], {1, 0.5, 0}));
  const auto smaller = gradients([](const Tensor& x, const Tensor& y) { return minimum(x, y); },
                                 a.clone(), b.clone());
  CHECK(same(smaller[0], {1, 0.5, 0}));
  CHECK(same(smaller[1], {0, 0.5, 1}));
  const Tensor x = tensor({0, 1, 2, 3, 4}).requires_grad(true);
  CHECK(same(grad(sum(clamp(x, 1, 3)), {x})[0], {0, 1, 1, 1, 0}));
  CHECK(same(grad(sum(maximum(x, 2)), {x})[0], {0, 0, 0.5, 1, 1}));
}

TEST_CASE(
    "the one that loses has gradient 0 for infinite cotangents too and with NaN neither loses") {
  const Tensor a = tensor({1, 5, NaN, 1}, f64).requires_grad(true),
               b = tensor({2, 4, 1, NaN}, f64).requires_grad(true);
  const Tensor endless = full({4}, inf, f64);
  const auto larger = grad(maximum(a, b), {a, b}, {.cotangent = endless});
  CHECK(same(larger[0], {0, inf, inf, inf}));
  CHECK(same(larger[1], {inf, 0, inf, inf}));
  const auto smaller = grad(minimum(a, b), {a, b}, {.cotangent = endless});
  CHECK(same(smaller[0], {inf, 0, inf, inf}));
  CHECK(same(smaller[1], {0, inf, inf, inf}));
}

TEST_CASE("the gradient of a large quotient by its divisor does not overflow on its way") {
  const Tensor b = tensor({1e100}, f64).requires_grad(true), cotangent = tensor({1e200}, f64);
  CHECK(close(grad(tensor({1e300}, f64) / b, {b}, {.cotangent = cotangent})[0], {-1e300}, 1e-15));
  CHECK(close(grad(1e300 / b, {b}, {.cotangent = cotangent})[0], {-1e300}, 1e-15));
}

TEST_CASE("comparisons give 0 and 1 in the dtype of the operands and no gradient") {
  for (const DType dtype : {f32, f64, i64}) {
    const Tensor a = tensor({1, 2, 3}, dtype), b = tensor({3, 2, 1}, dtype);
    CHECK((a < b).dtype() == dtype);
    CHECK(same(a == b, {0.0, 1, 0}));
    CHECK(same(a != b, {1, 0, 1}));
    CHECK(same(a < b, {1, 0, 0}));
    CHECK(same(a <= b, {1, 1, 0}));
    CHECK(same(a > b, {0.0, 0, 1}));
    CHECK(same(a >= b, {0.0, 1, 1}));
    CHECK(same(a == 2, {0.0, 1, 0}));
    CHECK(same(a != 2, {1, 0, 1}));
    CHECK(same(a < 2, {1, 0, 0}));
    CHECK(same(a <= 2, {1, 1, 0}));
    CHECK(same(a > 2, {0.0, 0, 1}));
    CHECK(same(a >= 2, {0.0, 1, 1}));
    CHECK(same(greater(tensor({{1}, {5}}, dtype), b), {{0.0, 0, 0}, {1, 1, 1}}));
    CHECK(same(equal(a, 2), {0.0, 1, 0}));
    CHECK(same(greater_equal(a, 2), {0.0, 1, 1}));
    CHECK(less(a, 2).dtype() == dtype);
  }
  const Tensor odd = tensor({NaN, 1}, f64);
  CHECK(same(odd == odd, {0.0, 1}));
  CHECK(same(odd != odd, {1, 0}));
  CHECK(same(odd >= odd, {0.0, 1}));
  const Tensor x = tensor({1, 2}).requires_grad(true);
  CHECK_FALSE((x < 1.5).requires_grad());
  CHECK_FALSE(equal(x, x).requires_grad());
}

TEST_CASE("whole numbers compare exactly beyond what f64 tells apart") {
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  const Tensor a = tensor(std::vector<std::int64_t>{large, large}, {2}),
               b = tensor(std::vector<std::int64_t>{large, large - 1}, {2});
  CHECK(same(equal(a, b), {1, 0}));
  CHECK(same(greater(a, b), {0.0, 1}));
}

TEST_CASE("where chooses by conditions of any dtype and is not touched by what it leaves out") {
  const Tensor a = tensor({1, NaN, 3}, f64), b = tensor({10, 20, inf}, f64);
  for (const DType dtype : {f32, f64, i64})
    CHECK(same(where(tensor({1, 0, 2}, dtype), a, b), {1, 20, 3}));
  CHECK(same(where(tensor({{1}, {0}}), a, b), {{1, NaN, 3}, {10, 20, inf}}));
  CHECK(same(where(tensor({1, 0, 0}), a, -1), {1, -1, -1}));
  CHECK(same(where(tensor({0.0, 1, 0}), -1, b), {10, -1, inf}));
  // The gradient of what was left out is 0, not 0 times infinity.
  const Tensor x = tensor({0.0, 4}, f64).requires_grad(true);
  CHECK(same(grad(sum(where(x > 0.0, x, 1)), {x})[0], {0.0, 1}));
}

TEST_CASE("an expiring operand is overwritten and a named one never") {
  NoGrad scope;
  const Tensor named = tensor({1, 2, 3}), other = tensor({10, 20, 30});
  Tensor expiring = named.clone();
  const float* place = expiring.data<float>();
  const Tensor y = tanh((std::move(expiring) + other) * 0.5 - named);
  CHECK(y.data<float>() == place);
  CHECK(same(named, {1, 2, 3}));
  CHECK(same(other, {10, 20, 30}));
  CHECK(close(y, tanh(tensor({4.5, 9, 13.5})), 1e-6));

  SUBCASE("on the right") {
    Tensor right = named.clone();
    place = right.data<float>();
    const Tensor z = other - std::move(right);
    CHECK(z.data<float>() == place);
    CHECK(same(z, {9, 18, 27}));
  }
  SUBCASE("not when it has to be read again for other rows") {
    Tensor row = named.clone();
    CHECK(same(std::move(row) + tensor({{0}, {10}}), {{1, 2, 3}, {11, 12, 13}}));
  }
  SUBCASE("not when someone else sees its elements") {
    Tensor base = named.clone();
    Tensor part = reshape(base, {3, 1});
    CHECK(same(-std::move(part), {{-1}, {-2}, {-3}}));
    CHECK(same(base, {1, 2, 3}));
    Tensor twin = base;
    CHECK(same(std::move(base) * std::move(twin), {1, 4, 9}));
  }
}

TEST_CASE("an expiring operand that a rule keeps is not overwritten") {
  const Tensor x = tensor({1, 2, 3}, f64).requires_grad(true);
  Tensor kept = x * 2;
  const Tensor y = exp(std::move(kept) * x);  // the product keeps both, exp keeps its result
  CHECK(close(grad(sum(y), {x})[0], exp(2 * x * x) * 4 * x, 1e-14));
}

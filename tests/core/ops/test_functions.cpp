#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {
template <class T>
void check_functions() {
  CAPTURE(dtype_of<T>);
  const double rtol = 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
  Draw draw(1);
  const auto check = [&](const Tensor& x, auto op, auto standard) {
    std::vector<T> expected;
    for (const T v : x.to_vector<T>())
      expected.push_back(static_cast<T>(standard(static_cast<double>(v))));
    CHECK(close(op(x), tensor(expected, x.shape()), rtol));
  };
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{0, 4}, Shape{3, 5, 7}}) {
    const Tensor any = draw.values(shape, -10, 10).to(dtype_of<T>),
                 positive = draw.values(shape, 0, 10).to(dtype_of<T>);
    for (const Tensor& x : {any, any.rank() > 1 ? transpose(any) : any}) {
      check(
          x, [](const Tensor& t) { return tanh(t); }, [](double v) { return std::tanh(v); });
      check(
          x, [](const Tensor& t) { return sigmoid(t); },
          [](double v) { return 1 / (1 + std::exp(-v)); });
      check(
          x, [](const Tensor& t) { return exp(t); }, [](double v) { return std::exp(v); });
      check(
          x, [](const Tensor& t) { return relu(t); }, [](double v) { return std::max(v, 0.0); });
      check(
          x, [](const Tensor& t) { return abs(t); }, [](double v) { return std::abs(v); });
    }
    check(
        positive, [](const Tensor& t) { return log(t); }, [](double v) { return std::log(v); });
    check(
        positive, [](const Tensor& t) { return sqrt(t); }, [](double v) { return std::sqrt(v); });
  }
}
}  // namespace

TEST_CASE("functions of each element are those of the standard library") {
  check_functions<float>();
  check_functions<double>();
}

TEST_CASE("functions at the ends of the numbers") {
  const Tensor x = tensor({-inf, -1e300, -0.0, 0.0, 1e300, inf, NaN}, f64);
  CHECK(same(tanh(x), {-1, -1, 0, 0, 1, 1, NaN}));
  CHECK(same(sigmoid(x), {0.0, 0, 0.5, 0.5, 1, 1, NaN}));
  CHECK(same(exp(x), {0.0, 0, 1, 1, inf, inf, NaN}));
  CHECK(same(log(x), {NaN, NaN, -inf, -inf, std::log(1e300), inf, NaN}));
  CHECK(same(sqrt(x), {NaN, NaN, 0, 0, 1e150, inf, NaN}));
  CHECK(same(relu(x), {0.0, 0, 0, 0, 1e300, inf, NaN}));
  CHECK(same(abs(x), {inf, 1e300, 0, 0, 1e300, inf, NaN}));
}

TEST_CASE("gradients where a function saturates are 0 and not NaN") {
  const Tensor x = tensor({-inf, -1e300, 0, 1e300, inf}, f64).requires_grad(true);
  CHECK(same(grad(sum(tanh(x)), {x})[0], {0.0, 0, 1, 0, 0}));
  CHECK(same(grad(sum(sigmoid(x)), {x})[0], {0.0, 0, 0.25, 0, 0}));
}

TEST_CASE("gradients at corners are 0") {
  const Tensor x = tensor({-2, 0, 3}).requires_grad(true);
  CHECK(same(grad(sum(relu(x)), {x})[0], {0.0, 0, 1}));
  CHECK(same(grad(sum(abs(x)), {x})[0], {-1, 0, 1}));
}

TEST_CASE("what relu keeps out is kept out of infinite cotangents and NaN passes them on") {
  const Tensor x = tensor({-2, 0, 3, NaN}, f64).requires_grad(true);
  CHECK(same(grad(relu(x), {x}, {.cotangent = tensor({inf, inf, inf, inf}, f64)})[0],
             {0.0, 0, inf, inf}));
  CHECK(same(grad(relu(x), {x}, {.cotangent = tensor({NaN, NaN, NaN, 5}, f64)})[0],
             {0.0, 0, NaN, 5}));
}

TEST_CASE("an infinite cotangent of sigmoid gives an infinite second derivative and not NaN") {
  const Tensor x = tensor({-1, 1}, f64).requires_grad(true);
  const Tensor first =
      grad(sigmoid(x), {x}, {.cotangent = tensor({inf, inf}, f64), .create_graph = true})[0];
  CHECK(same(first, {inf, inf}));
  CHECK(same(grad(sum(first), {x})[0], {inf, -inf}));
}

TEST_CASE("sigmoid_vjp is what the derivative of sigmoid needs") {
  CHECK(same(sigmoid_vjp(tensor({2, 3}), tensor({0.5, 1})), {0.5, 0}));
}

TEST_CASE("tanh_vjp is what the derivative of tanh needs") {
  const Tensor dy = tensor({2, 3}), y = tensor({0.5, 1});
  CHECK(same(tanh_vjp(dy, y), {1.5, 0}));
}

TEST_CASE("f32 and f64 convert into each other with gradients in the dtype of the input") {
  const Tensor x = tensor({0.1, 2}, f64).requires_grad(true);
  const Tensor y = x.to(f32);
  CHECK(y.dtype() == f32);
  CHECK(same(y, {0.1, 2}));
  const Tensor g = grad(sum(y * y), {x}, {.create_graph = true})[0];
  CHECK(g.dtype() == f64);
  CHECK(close(g, {0.2, 4}, 1e-7));
  CHECK(close(grad(sum(g), {x})[0], {2, 2}, 1e-7));
  CHECK(same(tensor({1.9, -1.9}, f64).to(i64), {1, -1}));
  CHECK(same(tensor({1, -2}, i64).to(f32), {1, -2}));
}

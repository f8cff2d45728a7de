#include <doctest/doctest.h>

#include <cmath>

#include "support/compare.hpp"

using namespace retrace;
using test::close;
using test::same;

TEST_CASE("dropout zeroes its share and scales the rest so that the mean stays") {
  for (const double p : {0.1, 0.5, 0.9}) {
    const std::int64_t n = 100000;
    const Tensor y = dropout(ones({n}, f64), p, Generator(7));
    const double zeroed = sum(y == 0.0).item() / static_cast<double>(n);
    // Five standard deviations of the share and of the mean.
    CHECK(std::abs(zeroed - p) < 5 * std::sqrt(p * (1 - p) / static_cast<double>(n)));
    CHECK(std::abs(mean(y).item() - 1) < 5 * std::sqrt(p / (1 - p) / static_cast<double>(n)));
    for (const double v : y.span<double>()) CHECK((v == 0 || v == 1 / (1 - p)));
  }
  CHECK(same(dropout(tensor({1, 2, 3}), 0, Generator(1)), {1, 2, 3}));
  CHECK(dropout(zeros({0, 3}), 0.5, Generator(1)).shape() == Shape{0, 3});
}

TEST_CASE("dropout draws one mask after the other from its generator") {
  const Tensor x = ones({50});
  Generator generator(3);
  const Generator copy = generator.clone();
  const Tensor first = dropout(x, 0.5, generator), second = dropout(x, 0.5, generator);
  CHECK_FALSE(same(first, second).ok);
  CHECK(same(dropout(x, 0.5, copy), first));
  CHECK(same(dropout(x, 0.5, copy), second));
  CHECK(same(dropout(x.to(f64), 0.5, Generator(3)).to(f32), first));
}

TEST_CASE("the gradient of dropout has the mask of the value") {
  const Tensor x = full({20}, 3).requires_grad(true);
  const Tensor y = dropout(x, 0.5, Generator(9));
  CHECK(same(grad(sum(y), {x})[0] * 3, y));
}

TEST_CASE("multinomial draws indices as often as their weights say whatever their sum") {
  const std::int64_t n = 100000;
  for (const double scale : {1.0, 1e-300, 1e300}) {
    const Tensor weights = tensor({0.1, 0, 0.6, 0.3, 0}, f64) * scale;
    const Tensor drawn = multinomial(weights, n, Generator(5));
    CHECK(drawn.shape() == Shape{n});
    CHECK(drawn.dtype() == i64);
    std::vector<double> counts(5);
    for (const std::int64_t i : drawn.span<std::int64_t>())
      counts[static_cast<std::size_t>(i)] += 1;
    for (const auto& [index, p] : {std::pair{0, 0.1}, {1, 0.0}, {2, 0.6}, {3, 0.3}, {4, 0.0}})
      CHECK(std::abs(counts[static_cast<std::size_t>(index)] / static_cast<double>(n) - p) <=
            5 * std::sqrt(p * (1 - p) / static_cast<double>(n)));
  }
}

TEST_CASE("multinomial draws for every row and repeats with the seed and has no gradient") {
  const Tensor weights = tensor({{0.0, 1, 0}, {2, 0, 2}}, f64).requires_grad(true);
  const Tensor drawn = multinomial(weights, 50, Generator(1));
  CHECK(drawn.shape() == Shape{2, 50});
  CHECK_FALSE(drawn.requires_grad());
  CHECK(same(select(drawn, 0, 0), ones({50}, i64)));
  CHECK(same(select(drawn, 0, 1) == 1, zeros({50}, i64)));
  CHECK(same(multinomial(weights, 50, Generator(1)), drawn));
  CHECK_FALSE(same(multinomial(weights, 50, Generator(2)), drawn).ok);
  CHECK(same(multinomial(transpose(weights.detach().to(f32)), 3, Generator(1)),
             {{1, 1, 1}, {0.0, 0, 0}, {1, 1, 1}}));
  CHECK(multinomial(weights, 0, Generator(1)).shape() == Shape{2, 0});
  CHECK(multinomial(zeros({0, 3}), 4, Generator(1)).shape() == Shape{0, 4});
}

TEST_CASE("multinomial never draws an index of weight 0 (for a drawn 0 either)") {
  Generator lowest(1);
  lowest.set_state({1, 0, 0, 0});
  REQUIRE(lowest.clone().uniform() == 0);
  CHECK(same(multinomial(tensor({0.0, 0, 3, 0}), 1, lowest), Literal({2})));
  CHECK(same(multinomial(tensor({0.0, 5e-324, 0}, f64), 3, Generator(1)), {1, 1, 1}));
}

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "parameter_list.hpp"
#include "support/compare.hpp"
#include "support/fixture.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

TEST_CASE("clip_grad_norm: gradients and norms agree with PyTorch") {
  const Fixture data("clip");
  CHECK(data.cases().size() == 10);
  for (const std::string& name : data.cases()) {
    CAPTURE(name);
    Parameters list;
    const int count = data.integer(name, "tensors");
    for (int i = 0; i < count; ++i) {
      const Tensor g = data.tensor(name, "g" + std::to_string(i));
      Tensor w = zeros(g.shape(), g.dtype()).requires_grad(true);
      w.set_grad(g.clone());
      list.add(std::to_string(i), w);
    }
    list.add("without a gradient", leaf({1}));
    const double tolerance = list[0].value.dtype() == f32 ? 1e-6 : 1e-13;
    const double norm = clip_grad_norm(list, data.tensor(name, "max_norm").item());
    CHECK(norm == doctest::Approx(data.tensor(name, "norm").item()).epsilon(tolerance));
    for (int i = 0; i < count; ++i)
      CHECK(close(list[static_cast<std::size_t>(i)].value.grad(), data.tensor(name, "clipped" + std::to_string(i)),
                  tolerance));
  }
  Tensor large = zeros({2}).requires_grad(true);  // whose square f32 does not hold
  large.set_grad(tensor({3e30, 4e30}));
  CHECK(clip_grad_norm(list_of({large}), 5) == doctest::Approx(5e30));
  CHECK(close(large.grad(), {3, 4}, 1e-6));
  Tensor lost = leaf({1}), other = leaf({2});  // a NaN reaches all, as in PyTorch
  lost.set_grad(full({1}, std::nan(""), lost.dtype()));
  other.set_grad(tensor({3}, other.dtype()));
  CHECK(std::isnan(clip_grad_norm(list_of({lost, other}), 1)));
  CHECK(std::isnan(other.grad().item()));
  CHECK_THROWS_WITH_AS(clip_grad_norm(Parameters(), -1), Contains("must not be negative"), Error);
}

TEST_CASE("clip_grad_value: elements move to the limit and NaN stays") {
  constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const DType dtype : {f32, f64}) {
    CAPTURE(dtype);
    Tensor w = zeros({7}, dtype).requires_grad(true), strided = zeros({2, 2}, dtype).requires_grad(true);
    w.set_grad(tensor({-inf, -3, -2, -0.5, 2, 2.5, nan}, dtype));
    strided.set_grad(transpose(tensor({{1, 3}, {-4, 0}}, dtype)));
    clip_grad_value(list_of({w, leaf({1}), strided}), 2);
    CHECK(same(w.grad(), {-2, -2, -2, -0.5, 2, 2, nan}));
    CHECK(same(strided.grad(), {{1, -2}, {2, 0}}));
    clip_grad_value(list_of({strided}), 0);
    CHECK(same(strided.grad(), {{0, 0}, {0, 0}}));
    CHECK_THROWS_WITH_AS(clip_grad_value(list_of({w}), -1), Contains("must not be negative, got -1"), Error);
  }
}

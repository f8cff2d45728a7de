#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "parameter_list.hpp"
#include "support/compare.hpp"
#include "support/fixture.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

TEST_CASE("SGD: twenty steps of every setting agree with PyTorch") {
  const Fixture data("sgd");
  CHECK(data.cases().size() == 14);
  for (const std::string& name : data.cases()) {
    CAPTURE(name);
    const auto part = [&](const std::string& p) { return data.tensor(name, p); };
    Tensor w = part("w_start").clone().requires_grad(true),
           v = part("v_start").clone().requires_grad(true);
    const Tensor options = part("options");
    SGD sgd(list_of({w, v}), {.momentum = options.at({0}),
                              .dampening = options.at({1}),
                              .weight_decay = options.at({2}),
                              .nesterov = options.at({3}) != 0});
    const double tolerance = w.dtype() == f32 ? 1e-5 : 1e-11;
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      sgd.set_lr(part("lr").at({i}));
      sgd.zero_grad();
      const auto loss = [&](const Tensor& p, const std::string& n) {
        const Tensor off = p - part(n + "_target");
        return sum(off * off * part(n + "_scale")) * 0.5;
      };
      loss(w, "w").backward();
      if (part("v_has_grad").at({i}) != 0) loss(v, "v").backward();
      sgd.step();
      CHECK(close(w, select(part("w"), 0, i), tolerance));
      CHECK(close(v, select(part("v"), 0, i), tolerance));
    }
  }
}

TEST_CASE("SGD: leaves alone what has no gradient or asks for none") {
  Tensor trained = leaf({1}), frozen = leaf({2}), without = leaf({3});
  SGD sgd(list_of({trained, frozen, without}), {.lr = 1, .weight_decay = 0.5});
  sum(trained * frozen).backward();
  frozen.requires_grad(false);
  sgd.step();
  CHECK(trained.item() == 1 - (2 + 0.5));
  CHECK(frozen.item() == 2);
  CHECK(without.item() == 3);
}

TEST_CASE("SGD: the gradient of a changed parameter is noticed by a graph that kept it") {
  Tensor w = leaf({2});
  SGD sgd(list_of({w}), {.lr = 0.1});
  const Tensor y = sum(w * w);
  y.backward({.retain_graph = true});
  sgd.step();
  CHECK_THROWS_WITH_AS(y.backward(), Contains("changed in place"), Error);
}

TEST_CASE("SGD: impossible settings are refused") {
  const Parameters list = list_of({leaf({1})});
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(SGD(list, {.lr = -1}), "SGD: lr must be finite and not negative, got -1",
                       Error);
  CHECK_THROWS_WITH_AS(SGD(list, {.lr = nan}), "SGD: lr must be finite and not negative, got nan",
                       Error);
  CHECK_THROWS_WITH_AS(SGD(list, {.momentum = -0.5}), Contains("momentum must be"), Error);
  CHECK_THROWS_WITH_AS(SGD(list, {.weight_decay = -1}), Contains("weight_decay must be"), Error);
  CHECK_THROWS_WITH_AS(SGD(list, {.dampening = nan}), "SGD: dampening must be finite, got nan",
                       Error);
  CHECK_THROWS_WITH_AS(SGD(list, {.nesterov = true}), Contains("Nesterov needs momentum"), Error);
  CHECK_THROWS_WITH_AS(SGD(list, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}),
                       Contains("dampening = 0.1"), Error);
  CHECK_THROWS_WITH_AS(
      SGD(Parameters{}),
      "SGD: none of the 0 parameters requires a gradient; requires_grad(true) makes one trained",
      Error);
  CHECK_THROWS_WITH_AS(
      SGD(list_of({tensor({1})})),
      "SGD: none of the 1 parameters requires a gradient; requires_grad(true) makes one trained",
      Error);
  SGD sgd(list);
  CHECK_THROWS_AS(sgd.set_lr(-1), Error);
  CHECK(sgd.lr() == 0.01);
}

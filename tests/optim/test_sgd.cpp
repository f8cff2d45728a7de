#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/parameters.hpp"

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

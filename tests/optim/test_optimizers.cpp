#include <doctest/doctest.h>

#include <functional>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/parameters.hpp"
#include "support/temporary_directory.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// The optimizer that a case of the fixture describes.
Optimizer described(const Fixture& data, const std::string& name, const Parameters& list) {
  const auto number = [&](const char* key, double otherwise) {
    return data.number(name, key, otherwise);
  };
  const std::string optimizer = data.text(name, "optimizer");
  const auto adam = [&]<class Options>(Options o) -> Options {
    return {.lr = number("lr", o.lr),
            .betas = {number("beta1", 0.9), number("beta2", 0.999)},
            .eps = number("eps", o.eps),
            .weight_decay = number("weight_decay", o.weight_decay),
            .amsgrad = data.flag(name, "amsgrad")};
  };
  if (optimizer == "Adam") return Adam(list, adam(AdamOptions()));
  if (optimizer == "AdamW") return AdamW(list, adam(AdamWOptions()));
  if (optimizer == "RMSprop")
    return RMSprop(list, {.lr = number("lr", 0.01),
                          .alpha = number("alpha", 0.99),
                          .eps = number("eps", 1e-8),
                          .weight_decay = number("weight_decay", 0),
                          .momentum = number("momentum", 0),
                          .centered = data.flag(name, "centered")});
  REQUIRE(optimizer == "Adagrad");
  return Adagrad(list, {.lr = number("lr", 0.01),
                        .lr_decay = number("lr_decay", 0),
                        .weight_decay = number("weight_decay", 0),
                        .initial_accumulator_value = number("initial_accumulator_value", 0),
                        .eps = number("eps", 1e-10)});
}

/// Goes the way of a case of the fixture and checks every step of it.
void follow(
    const Fixture& data, const std::string& name, const Tensor& w, const Tensor& v,
    Optimizer& optimizer, double tolerance,
    const std::function<void(int)>& before_step = [](int) {}) {
  const auto part = [&](const std::string& p) { return data.tensor(name, p); };
  const auto loss = [&](const Tensor& p, const std::string& n) {
    const Tensor off = p - part(n + "_target");
    return sum(off * off * part(n + "_scale")) * 0.5;
  };
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    before_step(i);
    optimizer.zero_grad();
    loss(w, "w").backward();
    if (part("v_has_grad").at({i}) != 0) loss(v, "v").backward();
    optimizer.step();
    CHECK(close(w, select(part("w"), 0, i), tolerance));
    CHECK(close(v, select(part("v"), 0, i), tolerance));
  }
}

/// Every optimizer with all of its state, and a name for it.
const std::vector<std::pair<const char*, std::function<Optimizer(const Parameters&)>>> optimizers =
    {
        {"SGD",
         [](const Parameters& list) { return SGD(list, {.momentum = 0.9, .dampening = 0.1}); }},
        {"Adam", [](const Parameters& list) { return Adam(list, {.lr = 0.01, .amsgrad = true}); }},
        {"AdamW",
         [](const Parameters& list) { return AdamW(list, {.lr = 0.01, .amsgrad = true}); }},
        {"RMSprop",
         [](const Parameters& list) { return RMSprop(list, {.momentum = 0.9, .centered = true}); }},
        {"Adagrad",
         [](const Parameters& list) {
           return Adagrad(list, {.lr_decay = 0.1, .initial_accumulator_value = 1});
         }},
};

}  // namespace

TEST_CASE("optimizers: twenty steps of every setting agree with PyTorch") {
  const Fixture data("optimizers");
  int count = 0;
  for (const std::string& name : data.cases()) {
    if (name.rfind("groups", 0) == 0) continue;
    CAPTURE(name);
    ++count;
    Tensor w = data.tensor(name, "w_start").clone().requires_grad(true);
    Tensor v = data.tensor(name, "v_start").clone().requires_grad(true);
    Optimizer optimizer = described(data, name, list_of({w, v}));
    follow(data, name, w, v, optimizer, w.dtype() == f32 ? 1e-5 : 1e-10);
  }
  CHECK(count == 24);
}

TEST_CASE("optimizers: groups have options of their own and follow one schedule") {
  const Fixture data("optimizers");
  for (const std::string name : {"groups.SGD", "groups.Adam"}) {
    CAPTURE(name);
    Parameters all;
    all.add("w", data.tensor(name, "w_start").clone().requires_grad(true));
    all.add("v", data.tensor(name, "v_start").clone().requires_grad(true));
    const auto [decayed, others] = all.split([](const Parameter& p) { return p.name == "w"; });
    Optimizer optimizer =
        name == "groups.SGD"
            ? Optimizer(SGD({{decayed, {.lr = 0.05, .weight_decay = 0.1}}, {others, {.lr = 0.1}}}))
            : Adam({{decayed, {.lr = 0.05, .weight_decay = 0.1}}, {others, {.lr = 0.1}}});
    const Schedule schedule = step_lr(10, 0.5);
    follow(data, name, all["w"], all["v"], optimizer, 1e-10,
           [&](int i) { optimizer.set_lr_factor(schedule(i)); });
    CHECK(optimizer.lr(0) == 0.025);
    CHECK(optimizer.lr(1) == 0.05);
  }
}

TEST_CASE("optimizers: a single group in a list is the same as a list of parameters") {
  Tensor a = leaf({1, 2}), b = leaf({1, 2});
  Adam adam(list_of({a}), {.lr = 0.1}), grouped({{list_of({b}), {.lr = 0.1}}});
  (sum(a * a) + sum(b * b)).backward();
  adam.step();
  grouped.step();
  CHECK(a.at({0}) == doctest::Approx(0.9));
  CHECK(same(a, b.detach()));
}

TEST_CASE(
    "optimizers: the factor of the learning rate replaces the one before and set_lr ends it") {
  SGD sgd(list_of({leaf({1})}), {.lr = 0.5});
  sgd.set_lr_factor(0.5);
  sgd.set_lr_factor(0.25);
  CHECK(sgd.lr() == 0.125);
  sgd.set_lr(2);
  CHECK(sgd.lr() == 2);
}

TEST_CASE("optimizers: a gradient with strides counts as its elements do") {
  Tensor w = tensor({{1, 2}, {3, 4}}, f64).requires_grad(true);
  w.set_grad(transpose(tensor({{10, 20}, {30, 40}}, f64)));
  SGD sgd(list_of({w}), {.lr = 0.1});
  sgd.step();
  CHECK(close(w, {{0, -1}, {1, 0}}, 1e-12, 1e-12));
  w.set_grad(ones({2, 2}, f64));
  const Tensor before = w.grad();
  sgd.step();
  CHECK(w.grad().same_as(before));
}

TEST_CASE("optimizers: going on from saved state is the same to the bit as not stopping") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("state.safetensors");
  for (const auto& [label, make] : optimizers)
    for (const int before : {0, 3}) {
      const std::string name = label;
      CAPTURE(name);
      CAPTURE(before);
      Tensor w = leaf({1, 2}), rarely = tensor({{0.5}}).requires_grad(true), frozen = ones({2});
      Optimizer optimizer = make(list_of({w, rarely, frozen}));
      const auto step = [](Optimizer& optimizer, const Tensor& w, const Tensor& rarely, int i) {
        optimizer.zero_grad();
        sum(w * w * w).backward();
        if (i % 3 == 2) sum(rarely * rarely).backward();
        optimizer.step();
      };
      for (int i = 0; i < before; ++i) step(optimizer, w, rarely, i);
      save(path, optimizer.state());
      Tensor w2 = w.detach().clone().requires_grad(true),
             rarely2 = rarely.detach().clone().requires_grad(true);
      Optimizer resumed = make(list_of({w2, rarely2, frozen}));
      load(path, resumed.state());
      for (int i = before; i < before + 4; ++i) {
        step(optimizer, w, rarely, i);
        step(resumed, w2, rarely2, i);
      }
      CHECK(same(w2, w.detach()));
      CHECK(same(rarely2, rarely.detach()));
      CHECK(optimizer.state()["p0.step"].item<std::int64_t>() == before + 4);
      CHECK(optimizer.state()["p1.step"].item<std::int64_t>() == (before + 4) / 3);
    }
}

TEST_CASE("optimizers: state is named as in PyTorch and holds what the options need") {
  const Parameters list = list_of({leaf({1}), tensor({2})});
  CHECK(SGD(list).state().empty());
  CHECK(names_of(SGD(list, {.momentum = 0.9}).state()) == "p0.step p0.momentum_buffer");
  CHECK(names_of(Adam(list).state()) == "p0.step p0.exp_avg p0.exp_avg_sq");
  CHECK(names_of(AdamW(list).state()) == "p0.step p0.exp_avg p0.exp_avg_sq");
  CHECK(names_of(AdamW(list, {.amsgrad = true}).state()) ==
        "p0.step p0.exp_avg p0.exp_avg_sq p0.max_exp_avg_sq");
  CHECK(names_of(RMSprop(list).state()) == "p0.step p0.square_avg");
  CHECK(names_of(RMSprop(list, {.momentum = 0.9}).state()) ==
        "p0.step p0.square_avg p0.momentum_buffer");
  CHECK(names_of(RMSprop(list, {.centered = true}).state()) == "p0.step p0.square_avg p0.grad_avg");
  CHECK(names_of(Adagrad(list).state()) == "p0.step p0.sum");
}

TEST_CASE("optimizers: state of another optimizer or shape is refused by name") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("state.safetensors");
  save(path, Adam(list_of({leaf({1, 2})})).state());
  CHECK_REFUSED(load(path, RMSprop(list_of({leaf({1, 2})})).state()), "cannot load",
                "p0.square_avg", "p0.exp_avg");
  CHECK_REFUSED(load(path, Adam(list_of({leaf({1, 2, 3})})).state()), "cannot load", "p0.exp_avg",
                "[3]", "[2]");
}

TEST_CASE(
    "optimizers: what was frozen when the optimizer was made is trained once it asks for a "
    "gradient") {
  Tensor w = leaf({1}), late = tensor({1}, f64);
  Adam adam(list_of({w, late}), {.lr = 0.1});
  Adam asked(list_of({w, late}));
  CHECK_FALSE(asked.state().contains("p1.exp_avg"));
  late.requires_grad(true);
  CHECK(asked.state().contains("p1.exp_avg"));
  sum(w * late).backward();
  adam.step();
  CHECK(w.item() == doctest::Approx(0.9));
  CHECK(late.item() == doctest::Approx(0.9));
}

TEST_CASE("optimizers: a parameter without elements is trained like any other") {
  const Tensor w = zeros({0, 3}).requires_grad(true);
  for (const auto& [label, make] : optimizers) {
    const std::string name = label;
    CAPTURE(name);
    Optimizer optimizer = make(list_of({w}));
    sum(w * w).backward();
    optimizer.step();
    CHECK(optimizer.state()["p0.step"].item<std::int64_t>() == 1);
  }
}

TEST_CASE("split: every parameter is in one of two lists in the order it had") {
  const Parameters list = list_of({leaf({1}), leaf({{2}}), leaf({3}), leaf({{4}})});
  const auto [matrices, vectors] =
      list.split([](const Parameter& p) { return p.value.rank() == 2; });
  CHECK(names_of(matrices) == "p1 p3");
  CHECK(names_of(vectors) == "p0 p2");
}

TEST_CASE("optimizers: every vector unit gives the same bits") {
  const auto trained = [](const auto& make, VectorUnit unit, DType dtype) {
    const LimitedTo limited(unit);
    const Generator generator(1);
    Tensor w = randn({37}, generator, dtype).requires_grad(true);
    Optimizer optimizer = make(list_of({w}));
    for (int i = 0; i < 4; ++i) {
      w.set_grad(randn({37}, generator, dtype));
      optimizer.step();
    }
    return w.detach();
  };
  for (const auto& [label, make] : optimizers)
    for (const VectorUnit unit : vector_units())
      for (const DType dtype : {f32, f64}) {
        const std::string name = label;
        CAPTURE(name);
        CAPTURE(name_of(unit));
        CHECK(same(trained(make, unit, dtype), trained(make, VectorUnit::baseline, dtype)));
      }
}

namespace own {

struct SignOptions {
  double lr = 0.1;
};
UpdateRule rule_of(const SignOptions& o) {
  const auto update = []<class T>(const Elements<T>& p) {
    for (std::size_t i = 0; i < p.n; ++i)
      p.w[i] -= static_cast<T>(p.lr) * static_cast<T>((p.g[i] > 0) - (p.g[i] < 0));
  };
  return {"Sign", o.lr, {}, update, update};
}

}  // namespace own

TEST_CASE("optimizers: an optimizer of the user's own is its options and its rule") {
  Tensor w = leaf({1, -1});
  OptimizerOf<own::SignOptions> sign(list_of({w}), {.lr = 0.5});
  sum(w * w).backward();
  sign.step();
  CHECK(same(w, {0.5, -0.5}));
  CHECK_REFUSED(OptimizerOf<own::SignOptions>{Parameters()}, "Sign: none of the 0 parameters");
}

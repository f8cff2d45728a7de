#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/parameters.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("SGD refuses impossible settings and what it could never train") {
  const Parameters list = list_of({leaf({1, 1})});
  for (const double bad : {-1.0, NaN, inf}) {
    const std::string limits = fmt::format(" must be finite and not negative, got {}", bad);
    CHECK_REFUSED(SGD(list, {.lr = bad}), "SGD: lr" + limits);
    CHECK_REFUSED(SGD(list, {.momentum = bad}), "SGD: momentum" + limits);
    CHECK_REFUSED(SGD(list, {.weight_decay = bad}), "SGD: weight_decay" + limits);
    SGD sgd(list, {.lr = 0.5});
    CHECK_REFUSED(sgd.set_lr(bad), "SGD: lr" + limits);
    CHECK(sgd.lr() == 0.5);
  }
  CHECK(SGD(list).lr() == 0.01);
  CHECK_REFUSED(SGD(list, {.dampening = NaN}), "SGD: dampening must be finite, got nan");
  CHECK_REFUSED(SGD(list, {.nesterov = true}), "SGD: Nesterov needs momentum");
  CHECK_REFUSED(SGD(list, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}), "SGD: Nesterov",
                "0.9", "dampening = 0.1");
  const std::string advice = "requires a gradient; requires_grad(true) makes one trained";
  CHECK_REFUSED(SGD{Parameters()}, "SGD: none of the 0 parameters " + advice);
  CHECK_REFUSED(SGD(list_of({ones({2})})), "SGD: none of the 1 parameters " + advice);
  // A weight that was scaled without no_grad is a result, to which backward gives no gradient.
  CHECK_REFUSED(SGD(list_of({leaf({1, 1}), leaf({{1, 1, 1}, {1, 1, 1}}) * 0.5})),
                "SGD: parameter 'p1' [2, 3] is the result of 'mul', not a leaf");
}

TEST_CASE("SGD refuses a parameter that is a view with strides before it changes any") {
  Tensor first = leaf({1, 1}), view = transpose(ones({2, 3})).requires_grad(true);
  SGD sgd(list_of({first, view}), {.lr = 1});
  sum(first).backward();
  sum(view).backward();
  CHECK_REFUSED(sgd.step(), "SGD: parameter 'p1' [3, 2] is a view that is not contiguous");
  CHECK(same(first, {1, 1}));
}

TEST_CASE("clipping and add_gradients refuse what does not fit and change no gradient") {
  const Tensor a = leaf({1, 1}), b = leaf({1, 1, 1}, f32);
  sum(a * 2).backward();
  sum(b * 3).backward();
  const Parameters mine = list_of({{"a", a}, {"b", b}});
  for (const double bad : {-1.0, NaN}) {
    const std::string limits = fmt::format(" must not be negative, got {}", bad);
    for (const Parameters& list : {mine, Parameters()}) {
      CHECK_REFUSED(clip_grad_norm(list, bad), "clip_grad_norm: max_norm" + limits);
      CHECK_REFUSED(clip_grad_value(list, bad), "clip_grad_value: the limit" + limits);
    }
  }
  const Tensor other_a = leaf({1, 1}), small_b = leaf({1}, f32), f64_b = leaf({1, 1, 1});
  for (const Tensor& w : {other_a, small_b, f64_b}) sum(w).backward();
  const auto from = [&](const char* name, const Tensor& value) {
    return list_of({{"a", other_a}, {name, value}});
  };
  CHECK_REFUSED(add_gradients(mine, list_of({{"a", other_a}})),
                "add_gradients: 2 parameters and 1");
  CHECK_REFUSED(add_gradients(mine, from("c", b)), "add_gradients: 'c' in place of 'b'");
  CHECK_REFUSED(add_gradients(mine, from("b", small_b)),
                "add_gradients: 'b' is [3] f32, the other [1] f32");
  CHECK_REFUSED(add_gradients(mine, from("b", f64_b)),
                "add_gradients: 'b' is [3] f32, the other [3] f64");
  CHECK_REFUSED(add_gradients(mine, from("b", b * 1)),
                "add_gradients: 'b' is the result of 'mul', not a leaf");
  CHECK(same(a.grad(), {2, 2}));
  CHECK(same(b.grad(), {3, 3, 3}));
}

TEST_CASE(
    "Adam and AdamW and RMSprop and Adagrad refuse impossible settings and what they could never "
    "train") {
  const Parameters list = list_of({leaf({1, 2})}), none;
  for (const double bad : {-1.0, NaN, inf}) {
    const std::string limits = fmt::format(" must be finite and not negative, got {}", bad);
    CHECK_REFUSED(Adam(list, {.lr = bad}), "Adam: lr" + limits);
    CHECK_REFUSED(Adam(list, {.eps = bad}), "Adam: eps" + limits);
    CHECK_REFUSED(Adam(list, {.weight_decay = bad}), "Adam: weight_decay" + limits);
    CHECK_REFUSED(AdamW(list, {.lr = bad}), "AdamW: lr" + limits);
    CHECK_REFUSED(RMSprop(list, {.lr = bad}), "RMSprop: lr" + limits);
    CHECK_REFUSED(RMSprop(list, {.eps = bad}), "RMSprop: eps" + limits);
    CHECK_REFUSED(RMSprop(list, {.weight_decay = bad}), "RMSprop: weight_decay" + limits);
    CHECK_REFUSED(RMSprop(list, {.momentum = bad}), "RMSprop: momentum" + limits);
    CHECK_REFUSED(Adagrad(list, {.lr = bad}), "Adagrad: lr" + limits);
    CHECK_REFUSED(Adagrad(list, {.lr_decay = bad}), "Adagrad: lr_decay" + limits);
    CHECK_REFUSED(Adagrad(list, {.weight_decay = bad}), "Adagrad: weight_decay" + limits);
    CHECK_REFUSED(Adagrad(list, {.initial_accumulator_value = bad}),
                  "Adagrad: initial_accumulator_value" + limits);
    CHECK_REFUSED(Adagrad(list, {.eps = bad}), "Adagrad: eps" + limits);
  }
  for (const double bad : {-0.1, 1.0, NaN}) {
    CHECK_REFUSED(Adam(list, {.betas = {bad, 0.9}}), "Adam: betas[0] must be in [0, 1), got");
    CHECK_REFUSED(AdamW(list, {.betas = {0.9, bad}}), "AdamW: betas[1] must be in [0, 1), got");
    CHECK_REFUSED(RMSprop(list, {.alpha = bad}), "RMSprop: alpha must be in [0, 1), got");
  }
  CHECK_REFUSED(Adam{none}, "Adam: none of the 0 parameters requires a gradient");
  CHECK_REFUSED(AdamW{none}, "AdamW: none of the 0 parameters requires a gradient");
  CHECK_REFUSED(RMSprop{none}, "RMSprop: none of the 0 parameters requires a gradient");
  CHECK_REFUSED(Adagrad{none}, "Adagrad: none of the 0 parameters requires a gradient");
  CHECK_REFUSED(Adam(list_of({leaf({1, 2}) * 0.5})),
                "Adam: parameter 'p0' [2] is the result of 'mul'");
}

TEST_CASE("optimizers refuse a parameter in two groups and one learning rate for several groups") {
  const Parameters one = list_of({leaf({1, 2})}), namesake = list_of({leaf({3})}),
                   other = list_of({{"b", leaf({0})}}), tied = list_of({{"v", one["p0"]}});
  CHECK_REFUSED(Adam({{one, {}}, {tied, {.lr = 0.1}}}), "Adam: parameter 'v' is in two groups");
  CHECK_REFUSED(Adam({{one, {}}, {namesake, {}}}), "parameters: two tensors are called 'p0'");
  CHECK_REFUSED(Adam({{one, {}}, {other, {.lr = -1}}}),
                "Adam: lr must be finite and not negative, got -1");
  CHECK_REFUSED(Adam(std::vector<Adam::Group>()),
                "an optimizer needs one group of parameters or more");
  Adam adam({{one, {.lr = 0.1}}, {other, {.lr = 0.2}}});
  CHECK_REFUSED(adam.set_lr(0.5), "Adam: set_lr is for one group, there are 2");
  CHECK_REFUSED(adam.lr(2), "Adam: there is no group 2 among 2");
  for (const double bad : {-1.0, NaN, inf})
    CHECK_REFUSED(adam.set_lr_factor(bad),
                  "Adam: the factor of lr must be finite and not negative");
  CHECK(adam.lr(0) == 0.1);
  CHECK(adam.lr(1) == 0.2);
}

TEST_CASE("an optimizer that was moved from refuses all but another one in its place") {
  Adam adam(list_of({leaf({1, 2})}), {.lr = 0.1});
  Optimizer taken = std::move(adam);
  const std::string text = "the optimizer was moved from";
  CHECK_REFUSED(adam.step(), text);
  CHECK_REFUSED(adam.zero_grad(), text);
  CHECK_REFUSED(adam.lr(), text);
  CHECK_REFUSED(adam.set_lr(0.5), text);
  CHECK_REFUSED(adam.set_lr_factor(0.5), text);
  CHECK_REFUSED(adam.state(), text);
  adam = Adam(list_of({leaf({3})}), {.lr = 0.2});
  CHECK(adam.lr() == 0.2);
  CHECK(taken.lr() == 0.1);
}

TEST_CASE("a rule without an update for a dtype is refused before any value changes") {
  const auto move = [](const Elements<float>& p) { p.w[0] -= 1; };
  const UpdateRule rule{"Own", 0.1, {}, move, {}};
  CHECK_REFUSED(Optimizer(list_of({leaf({1})}), rule),
                "Own: there is no update for parameter 'p0' of f64");
  Tensor w = tensor({1}).requires_grad(true), late = tensor({1}, f64);
  Optimizer optimizer(list_of({w, late}), rule);
  late.requires_grad(true);
  w.set_grad(ones({1}));
  late.set_grad(ones({1}, f64));
  CHECK_REFUSED(optimizer.step(), "Own: there is no update for parameter 'p1' of f64");
  CHECK(w.item() == 1);
}

TEST_CASE("schedules refuse steps before the first and being called without a function") {
  for (const std::int64_t n : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    const std::string text = fmt::format(": there is no step {}", n);
    CHECK_REFUSED(step_lr(2)(n), "step_lr" + text);
    CHECK_REFUSED(exponential_lr(0.5)(n), "exponential_lr" + text);
    CHECK_REFUSED(linear_lr(0.2, 1, 1)(n), "linear_lr" + text);
    CHECK_REFUSED(cosine_lr(2)(n), "cosine_lr" + text);
    CHECK_REFUSED(in_turn([](std::int64_t) { return 1.0; }, 1, cosine_lr(2))(n), "in_turn" + text);
  }
  Schedule none, moved = cosine_lr(2);
  const Schedule taken = std::move(moved);
  CHECK_REFUSED(none(0), "an empty function was called");
  CHECK_REFUSED(moved(0), "an empty function was called");
  CHECK(taken(0) == 1);
}

TEST_CASE("schedules refuse lengths below one and factors that are negative or not finite") {
  for (const std::int64_t bad : {0, -1}) {
    CHECK_REFUSED(step_lr(bad), "step_lr: expected one step or more, got");
    CHECK_REFUSED(linear_lr(0, 1, bad), "linear_lr: expected one step or more, got");
    CHECK_REFUSED(cosine_lr(bad), "cosine_lr: expected one step or more, got");
    CHECK_REFUSED(in_turn(cosine_lr(2), bad, cosine_lr(2)),
                  "in_turn: expected one step or more, got");
  }
  CHECK_REFUSED(in_turn({}, 1, cosine_lr(2)), "in_turn: expected two schedules");
  CHECK_REFUSED(in_turn(cosine_lr(2), 1, {}), "in_turn: expected two schedules");
  for (const double bad : {-1.0, NaN, inf}) {
    CHECK_REFUSED(step_lr(1, bad), "step_lr: gamma must be finite and not negative");
    CHECK_REFUSED(exponential_lr(bad), "exponential_lr: gamma must be finite and not negative");
    CHECK_REFUSED(linear_lr(bad, 1, 1), "linear_lr: start must be finite and not negative");
    CHECK_REFUSED(linear_lr(1, bad, 1), "linear_lr: end must be finite and not negative");
    CHECK_REFUSED(cosine_lr(1, bad), "cosine_lr: lowest must be finite and not negative");
    CHECK_REFUSED(ReduceLROnPlateau({.lowest = bad}), "ReduceLROnPlateau: lowest must be finite");
    CHECK_REFUSED(ReduceLROnPlateau({.threshold = bad, .relative = false}),
                  "ReduceLROnPlateau: threshold must be");
  }
  for (const double bad : {-0.1, 1.0, NaN}) {
    CHECK_REFUSED(ReduceLROnPlateau({.factor = bad}),
                  "ReduceLROnPlateau: factor must be in [0, 1), got");
    CHECK_REFUSED(ReduceLROnPlateau({.threshold = bad}),
                  "ReduceLROnPlateau: threshold must be in [0, 1), got");
  }
  CHECK_REFUSED(ReduceLROnPlateau({.lowest = 1.5}),
                "ReduceLROnPlateau: lowest must be at most 1, got 1.5");
  CHECK_REFUSED(ReduceLROnPlateau({.patience = -1}),
                "ReduceLROnPlateau: negative patience -1 or cooldown 0");
  CHECK_REFUSED(ReduceLROnPlateau({.cooldown = -1}),
                "ReduceLROnPlateau: negative patience 10 or cooldown -1");
}

TEST_CASE("GradientNorm refuses to be a number while a step is recorded") {
  const Tensor w = ones({2}).requires_grad(true);
  const Parameters list = list_of({w});
  Replay step([&](const Tensor& x) {
    w.zero_grad();
    sum(w * x).backward();
    return x * clip_grad_norm(list, 1);
  });
  const Tensor x = ones({2});
  step(x);
  CHECK_THROWS_AS(step(x), Error);
  CHECK_REFUSED(step(x), "item of a tensor [] that 'clip_grad_norm' computed");
}

#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "parameter_list.hpp"
#include "support/refuses.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {
constexpr double NaN = std::numeric_limits<double>::quiet_NaN(),
                 inf = std::numeric_limits<double>::infinity();
}

TEST_CASE(
    "Adam and AdamW and RMSprop and Adagrad refuse impossible settings and what they could never "
    "train") {
  const Parameters list = list_of({leaf({1, 2})}), none;
  for (const double bad : {-1.0, NaN, inf}) {
    const std::string limits = " must be finite and not negative, got ";
    refuses([&] { Adam(list, {.lr = bad}); }, {"Adam: lr" + limits});
    refuses([&] { Adam(list, {.eps = bad}); }, {"Adam: eps" + limits});
    refuses([&] { Adam(list, {.weight_decay = bad}); }, {"Adam: weight_decay" + limits});
    refuses([&] { AdamW(list, {.lr = bad}); }, {"AdamW: lr" + limits});
    refuses([&] { RMSprop(list, {.lr = bad}); }, {"RMSprop: lr" + limits});
    refuses([&] { RMSprop(list, {.eps = bad}); }, {"RMSprop: eps" + limits});
    refuses([&] { RMSprop(list, {.weight_decay = bad}); }, {"RMSprop: weight_decay" + limits});
    refuses([&] { RMSprop(list, {.momentum = bad}); }, {"RMSprop: momentum" + limits});
    refuses([&] { Adagrad(list, {.lr = bad}); }, {"Adagrad: lr" + limits});
    refuses([&] { Adagrad(list, {.lr_decay = bad}); }, {"Adagrad: lr_decay" + limits});
    refuses([&] { Adagrad(list, {.weight_decay = bad}); }, {"Adagrad: weight_decay" + limits});
    refuses([&] { Adagrad(list, {.initial_accumulator_value = bad}); },
            {"Adagrad: initial_accumulator_value" + limits});
    refuses([&] { Adagrad(list, {.eps = bad}); }, {"Adagrad: eps" + limits});
  }
  for (const double bad : {-0.1, 1.0, NaN}) {
    refuses([&] { Adam(list, {.betas = {bad, 0.9}}); }, {"Adam: betas[0] must be in [0, 1), got"});
    refuses(
        [&] {
          AdamW(list, {.betas = {0.9, bad}});
        },
        {"AdamW: betas[1] must be in [0, 1), got"});
    refuses([&] { RMSprop(list, {.alpha = bad}); }, {"RMSprop: alpha must be in [0, 1), got"});
  }
  refuses([&] { Adam{none}; }, {"Adam: none of the 0 parameters requires a gradient"});
  refuses([&] { AdamW{none}; }, {"AdamW: none of the 0 parameters requires a gradient"});
  refuses([&] { RMSprop{none}; }, {"RMSprop: none of the 0 parameters requires a gradient"});
  refuses([&] { Adagrad{none}; }, {"Adagrad: none of the 0 parameters requires a gradient"});
  refuses(
      [] {
        Adam(list_of({leaf({1, 2}) * 0.5}));
      },
      {"Adam: parameter 'p0' [2] is the result of 'mul'"});
}

TEST_CASE("optimizers refuse a parameter in two groups and one learning rate for several groups") {
  const Parameters one = list_of({leaf({1, 2})}), namesake = list_of({leaf({3})});
  Parameters other, tied;
  other.add("b", leaf({0}));
  tied.add("v", one["p0"]);
  refuses(
      [&] {
        Adam({{one, {}}, {tied, {.lr = 0.1}}});
      },
      {"Adam: parameter 'v' is in two groups"});
  refuses([&] { Adam({{one, {}}, {namesake, {}}}); }, {"parameters: two tensors are called 'p0'"});
  refuses(
      [&] {
        Adam({{one, {}}, {other, {.lr = -1}}});
      },
      {"Adam: lr must be finite and not negative, got -1"});
  refuses([] { Adam(std::vector<Adam::Group>()); },
          {"an optimizer needs one group of parameters or more"});
  Adam adam({{one, {.lr = 0.1}}, {other, {.lr = 0.2}}});
  refuses([&] { adam.set_lr(0.5); }, {"Adam: set_lr is for one group, there are 2"});
  refuses([&] { adam.lr(2); }, {"Adam: there is no group 2 among 2"});
  for (const double bad : {-1.0, NaN, inf})
    refuses([&] { adam.set_lr_factor(bad); },
            {"Adam: the factor of lr must be finite and not negative"});
  CHECK(adam.lr(0) == 0.1);
  CHECK(adam.lr(1) == 0.2);
}

TEST_CASE("an optimizer that was moved from refuses all but another one in its place") {
  Adam adam(list_of({leaf({1, 2})}), {.lr = 0.1});
  Optimizer taken = std::move(adam);
  const std::string text = "the optimizer was moved from";
  refuses([&] { adam.step(); }, {text});
  refuses([&] { adam.zero_grad(); }, {text});
  refuses([&] { adam.lr(); }, {text});
  refuses([&] { adam.set_lr(0.5); }, {text});
  refuses([&] { adam.set_lr_factor(0.5); }, {text});
  refuses([&] { adam.state(); }, {text});
  adam = Adam(list_of({leaf({3})}), {.lr = 0.2});
  CHECK(adam.lr() == 0.2);
  CHECK(taken.lr() == 0.1);
}

TEST_CASE("a rule without an update for a dtype is refused before any value changes") {
  const auto move = [](const Elements<float>& p) { p.w[0] -= 1; };
  const UpdateRule rule{"Own", 0.1, {}, move, {}};
  refuses([&] { Optimizer(list_of({leaf({1})}), rule); },
          {"Own: there is no update for parameter 'p0' of f64"});
  Tensor w = tensor({1}).requires_grad(true), late = tensor({1}, f64);
  Optimizer optimizer(list_of({w, late}), rule);
  late.requires_grad(true);
  w.set_grad(ones({1}));
  late.set_grad(ones({1}, f64));
  refuses([&] { optimizer.step(); }, {"Own: there is no update for parameter 'p1' of f64"});
  CHECK(w.item() == 1);
}

TEST_CASE("schedules refuse steps before the first and being called without a function") {
  for (const std::int64_t n : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    const std::string text = fmt::format(": there is no step {}", n);
    refuses([&] { step_lr(2)(n); }, {"step_lr" + text});
    refuses([&] { exponential_lr(0.5)(n); }, {"exponential_lr" + text});
    refuses([&] { linear_lr(0.2, 1, 1)(n); }, {"linear_lr" + text});
    refuses([&] { cosine_lr(2)(n); }, {"cosine_lr" + text});
    refuses([&] { in_turn([](std::int64_t) { return 1.0; }, 1, cosine_lr(2))(n); },
            {"in_turn" + text});
  }
  Schedule none, moved = cosine_lr(2);
  const Schedule taken = std::move(moved);
  refuses([&] { none(0); }, {"an empty function was called"});
  refuses([&] { moved(0); }, {"an empty function was called"});
  CHECK(taken(0) == 1);
}

TEST_CASE("schedules refuse lengths below one and factors that are negative or not finite") {
  for (const std::int64_t bad : {0, -1}) {
    refuses([&] { step_lr(bad); }, {"step_lr: expected one step or more, got"});
    refuses([&] { linear_lr(0, 1, bad); }, {"linear_lr: expected one step or more, got"});
    refuses([&] { cosine_lr(bad); }, {"cosine_lr: expected one step or more, got"});
    refuses([&] { in_turn(cosine_lr(2), bad, cosine_lr(2)); },
            {"in_turn: expected one step or more, got"});
  }
  refuses([] { in_turn({}, 1, cosine_lr(2)); }, {"in_turn: expected two schedules"});
  refuses([] { in_turn(cosine_lr(2), 1, {}); }, {"in_turn: expected two schedules"});
  for (const double bad : {-1.0, NaN, inf}) {
    refuses([&] { step_lr(1, bad); }, {"step_lr: gamma must be finite and not negative"});
    refuses([&] { exponential_lr(bad); },
            {"exponential_lr: gamma must be finite and not negative"});
    refuses([&] { linear_lr(bad, 1, 1); }, {"linear_lr: start must be finite and not negative"});
    refuses([&] { linear_lr(1, bad, 1); }, {"linear_lr: end must be finite and not negative"});
    refuses([&] { cosine_lr(1, bad); }, {"cosine_lr: lowest must be finite and not negative"});
    refuses([&] { ReduceLROnPlateau({.lowest = bad}); },
            {"ReduceLROnPlateau: lowest must be finite"});
    refuses([&] { ReduceLROnPlateau({.threshold = bad, .relative = false}); },
            {"ReduceLROnPlateau: threshold must be"});
  }
  for (const double bad : {-0.1, 1.0, NaN}) {
    refuses([&] { ReduceLROnPlateau({.factor = bad}); },
            {"ReduceLROnPlateau: factor must be in [0, 1), got"});
    refuses([&] { ReduceLROnPlateau({.threshold = bad}); },
            {"ReduceLROnPlateau: threshold must be in [0, 1), got"});
  }
  refuses([] { ReduceLROnPlateau({.lowest = 1.5}); },
          {"ReduceLROnPlateau: lowest must be at most 1, got 1.5"});
  refuses([] { ReduceLROnPlateau({.patience = -1}); },
          {"ReduceLROnPlateau: negative patience -1 or cooldown 0"});
  refuses([] { ReduceLROnPlateau({.cooldown = -1}); },
          {"ReduceLROnPlateau: negative patience 10 or cooldown -1"});
}

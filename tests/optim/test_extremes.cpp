#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "support/compare.hpp"
#include "support/parameters.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

using Make = std::function<Optimizer(const Parameters&)>;
struct Setting {
  std::string name;
  Make make;
  /// Steps of g / eps and a weight decay that answers them: huge gradients end beyond the dtype.
  bool runs_away = false;
};

/// Every optimizer with each option on and off.
std::vector<Setting> settings() {
  std::vector<Setting> all;
  const auto add = [&](const char* name, Make make, bool runs_away = false) {
    all.push_back({fmt::format("{} {}", name, all.size()), std::move(make), runs_away});
  };
  for (const double weight_decay : {0.0, 0.1}) {
    for (const double momentum : {0.0, 0.9})
      for (const double dampening : {0.0, 0.5})
        add("SGD", [=](const Parameters& list) {
          return SGD(list,
                     {.momentum = momentum, .dampening = dampening, .weight_decay = weight_decay});
        });
    add("SGD", [=](const Parameters& list) {
      return SGD(list, {.momentum = 0.9, .weight_decay = weight_decay, .nesterov = true});
    });
    for (const bool on : {false, true}) {
      add("Adam", [=](const Parameters& list) {
        return Adam(list, {.weight_decay = weight_decay, .amsgrad = on});
      });
      add("AdamW", [=](const Parameters& list) {
        return AdamW(list, {.weight_decay = weight_decay, .amsgrad = on});
      });
      for (const double momentum : {0.0, 0.9})
        add(
            "RMSprop",
            [=](const Parameters& list) {
              return RMSprop(list,
                             {.weight_decay = weight_decay, .momentum = momentum, .centered = on});
            },
            on && weight_decay > 0);
      for (const double initial : {0.0, 1.0})
        add("Adagrad", [=](const Parameters& list) {
          return Adagrad(list, {.lr_decay = on ? 0.01 : 0,
                                .weight_decay = weight_decay,
                                .initial_accumulator_value = initial});
        });
    }
  }
  return all;
}

/// A gradient for each element, at even and at odd steps.
struct Gradients {
  std::vector<double> even, odd;
  std::size_t beyond;  // from here on squares leave the range of the dtype
};
Gradients gradients(DType dtype) {
  const double denormal = dtype == f32 ? 1e-45 : 5e-324, tiny = dtype == f32 ? 1e-30 : 1e-200;
  const double huge = 1e9, beyond = dtype == f32 ? 1e30 : 1e200;
  return {{0.1, 0, denormal, tiny, huge, 0.1, huge, 0, beyond, beyond, beyond},
          {0.1, 0, denormal, tiny, huge, -0.1, tiny, 0.1, beyond, -beyond, 0},
          8};
}

/// The weights, which begin at 0, after so many steps.
Tensor trained(Optimizer& optimizer, Tensor w, int steps) {
  const Gradients g = gradients(w.dtype());
  const Tensor even = tensor(g.even, {w.dim(0)}).to(w.dtype()),
               odd = tensor(g.odd, {w.dim(0)}).to(w.dtype());
  for (int i = 0; i < steps; ++i) {
    w.set_grad(i % 2 == 0 ? even : odd);
    optimizer.step();
  }
  return w.detach().to(f64);
}

}  // namespace

TEST_CASE(
    "optimizers: constant, tiny, huge, zero and alternating gradients leave weights and state "
    "finite") {
  for (const Setting& setting : settings())
    for (const DType dtype : {f32, f64}) {
      CAPTURE(setting.name);
      CAPTURE(dtype);
      const Gradients g = gradients(dtype);
      const auto count = static_cast<std::int64_t>(g.even.size());
      const Tensor w = zeros({count}, dtype).requires_grad(true);
      Optimizer optimizer = setting.make(list_of({w}));
      const Tensor after = trained(optimizer, w, 100'000);
      CAPTURE(after);
      for (const double value : after.to_vector<double>()) CHECK(std::isfinite(value));
      CHECK(after.at({0}) < 0);
      CHECK(after.at({1}) == 0);
      CHECK((setting.runs_away || after.at({4}) < 0));
      for (const Parameter& p : optimizer.state()) {
        if (p.value.rank() == 0) continue;  // the number of steps
        CAPTURE(p.name);
        const Tensor state = p.value.to(f64);
        for (std::size_t i = 0; i < g.even.size(); ++i) {
          const double value = state.at({static_cast<std::int64_t>(i)});
          CAPTURE(i);
          if (i >= g.beyond || (setting.runs_away && i == 4))
            CHECK_FALSE(std::isnan(value));
          else
            CHECK(std::isfinite(value));
        }
      }
    }
}

TEST_CASE("RMSprop: the variance of a constant gradient is never below zero") {
  for (const DType dtype : {f32, f64})
    for (const double momentum : {0.0, 0.9})
      for (const double g : {0.1, 0.3, -1e-3, 7.0, 1e5}) {
        CAPTURE(dtype);
        CAPTURE(momentum);
        CAPTURE(g);
        Tensor w = zeros({1}, dtype).requires_grad(true);
        RMSprop rmsprop(list_of({w}), {.momentum = momentum, .centered = true});
        w.set_grad(full({1}, g, dtype));
        double before = 0;
        for (int i = 0; i < 3000; ++i) {
          rmsprop.step();
          REQUIRE(std::isfinite(w.item()));
          REQUIRE((g > 0 ? w.item() <= before
                         : w.item() >= before));  // no step is against the gradient
          before = w.item();
        }
      }
}

TEST_CASE("optimizers: a square beyond the dtype ends the training of its element and no other") {
  const std::vector<Make> makes = {
      [](const Parameters& list) { return Adam(list); },
      [](const Parameters& list) { return Adam(list, {.amsgrad = true}); },
      [](const Parameters& list) { return RMSprop(list); },
      [](const Parameters& list) { return RMSprop(list, {.centered = true}); },
      [](const Parameters& list) { return Adagrad(list); }};
  for (const auto& make : makes)
    for (const DType dtype : {f32, f64}) {
      Tensor w = zeros({2}, dtype).requires_grad(true);
      Optimizer optimizer = make(list_of({w}));
      w.set_grad(tensor({dtype == f32 ? 1e30 : 1e200, 1}, dtype));
      for (int i = 0; i < 3; ++i) optimizer.step();
      CHECK(w.at({0}) == 0);
      CHECK(w.at({1}) < 0);
    }
}

TEST_CASE("optimizers: without memory of squares one beyond the dtype is over with its step") {
  const std::vector<Make> makes = {
      [](const Parameters& list) {
        return Adam(list, {.betas = {0, 0}});
      },
      [](const Parameters& list) { return RMSprop(list, {.alpha = 0}); },
      [](const Parameters& list) {
        return RMSprop(list, {.alpha = 0, .momentum = 0.9, .centered = true});
      }};
  for (const auto& make : makes)
    for (const DType dtype : {f32, f64}) {
      Tensor w = zeros({1}, dtype).requires_grad(true);
      Optimizer optimizer = make(list_of({w}));
      for (const double g : {dtype == f32 ? 1e30 : 1e200, dtype == f32 ? 1e30 : 1e200, 1.0}) {
        CHECK(w.item() == 0);
        w.set_grad(full({1}, g, dtype));
        optimizer.step();
      }
      CHECK(w.item() < 0);
      CHECK(std::isfinite(w.item()));
    }
}

TEST_CASE(
    "optimizers: without an eps the step of no gradient at all is NaN as in PyTorch and any other "
    "is right") {
  const std::vector<Make> makes = {
      [](const Parameters& list) { return Adam(list, {.lr = 0.5, .eps = 0}); },
      [](const Parameters& list) { return AdamW(list, {.lr = 0.5, .eps = 0}); },
      [](const Parameters& list) { return Adagrad(list, {.lr = 0.5, .eps = 0}); },
      [](const Parameters& list) { return RMSprop(list, {.lr = 0.05, .eps = 0}); }};
  for (const auto& make : makes) {
    Tensor w = leaf({0, 0});
    Optimizer optimizer = make(list_of({w}));
    w.set_grad(tensor({0, -3}, f64));
    optimizer.step();
    CHECK(std::isnan(w.at({0})));
    CHECK(w.at({1}) == doctest::Approx(0.5));
  }
}

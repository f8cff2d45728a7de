#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/short_names.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Approx;

TEST_CASE("schedules: factors agree with the learning rates of PyTorch") {
  const Fixture data("schedules");
  const std::pair<const char*, Schedule> schedules[] = {
      {"step", step_lr(7, 0.3)},
      {"exponential", exponential_lr(0.93)},
      {"linear", linear_lr(0.2, 0.9, 15)},
      {"cosine", cosine_lr(40, 0.05)},
      {"in_turn",
       in_turn(linear_lr(0.1, 1, 10), 10, in_turn(cosine_lr(20), 20, exponential_lr(0.9)))}};
  for (const auto& [label, schedule] : schedules) {
    const std::string name = label;
    CAPTURE(name);
    const Tensor rates = data.tensor(name, "lr");
    CHECK(rates.size() == 41);
    for (int n = 0; n < rates.size(); ++n) {
      CAPTURE(n);
      CHECK(schedule(n) == Approx(rates.at({n})).epsilon(1e-12));
    }
  }
}

TEST_CASE("schedules: a cosine stays at its lowest") {
  const Schedule schedule = cosine_lr(10, 0.2);
  CHECK(schedule(10) == 0.2);
  CHECK(schedule(15) == 0.2);
  CHECK(schedule(1000000) == 0.2);
}

TEST_CASE(
    "ReduceLROnPlateau: factors agree with PyTorch also when saved and loaded at every step") {
  const Fixture data("schedules");
  const TemporaryDirectory directory = TemporaryDirectory::in_memory();
  const std::string path = directory.path("plateau.safetensors");
  const std::pair<const char*, ReduceLROnPlateauOptions> cases[] = {
      {"plain", {.factor = 0.5, .patience = 2}},
      {"cooldown", {.factor = 0.5, .patience = 1, .cooldown = 3, .lowest = 0.1}},
      {"relative", {.factor = 0.9, .patience = 0, .threshold = 0.05}},
      {"absolute", {.factor = 0.8, .patience = 1, .threshold = 0.05, .relative = false}}};
  for (const auto& [label, options] : cases) {
    const std::string entry = std::string("plateau.") + label;
    CAPTURE(entry);
    const Tensor rates = data.tensor(entry, "lr"), losses = data.tensor(entry, "loss");
    ReduceLROnPlateau plateau(options);
    CHECK(plateau.factor() == 1);
    for (int n = 0; n < losses.size(); ++n) {
      CAPTURE(n);
      const double factor = plateau(losses.at({n}));
      CHECK(factor == Approx(rates.at({n + 1})).epsilon(1e-12));
      save(path, plateau.state());
      plateau = ReduceLROnPlateau(options);
      load(path, plateau.state());
      CHECK(plateau.factor() == factor);
    }
  }
}

TEST_CASE("ReduceLROnPlateau: a loss that is NaN is no better") {
  ReduceLROnPlateau plateau({.factor = 0.5, .patience = 1});
  CHECK(plateau(NaN) == 1);
  CHECK(plateau(NaN) == 0.5);
  CHECK(plateau(3.0) == 0.5);
  CHECK(plateau(2.0) == 0.5);
  CHECK(plateau(NaN) == 0.5);
  CHECK(plateau(2.0) == 0.25);
}

TEST_CASE("ReduceLROnPlateau: a factor that may fall no lower than 1 stays there") {
  ReduceLROnPlateau plateau({.patience = 0, .lowest = 1});
  CHECK(plateau(1.0) == 1);
  CHECK(plateau(1.0) == 1);
}

TEST_CASE(
    "ReduceLROnPlateau: it is moved and not copied because copies would change the same state") {
  CHECK_FALSE(std::is_copy_constructible_v<ReduceLROnPlateau>);
  CHECK_FALSE(std::is_copy_assignable_v<ReduceLROnPlateau>);
  ReduceLROnPlateau plateau({.factor = 0.5, .patience = 0});
  plateau(1.0);
  ReduceLROnPlateau taken = std::move(plateau);
  CHECK(taken(1.0) == 0.5);
  CHECK_THROWS_AS(plateau(1.0), Error);
}

TEST_CASE("ReduceLROnPlateau: a number of steps is not taken for a loss") {
  CHECK(std::is_invocable_r_v<double, ReduceLROnPlateau&, float>);
  CHECK_FALSE(std::is_invocable_v<ReduceLROnPlateau&, std::int64_t>);
  CHECK_FALSE(std::is_invocable_v<ReduceLROnPlateau&, int>);
  CHECK_FALSE(std::is_convertible_v<ReduceLROnPlateau, Schedule>);
  CHECK(std::is_convertible_v<double (*)(double), Schedule>);
}

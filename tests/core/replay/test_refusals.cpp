#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/check_refused.hpp"
#include "support/compare.hpp"

using namespace retrace;

namespace {

/// The step is run as it is and refused when it is recorded. Code outside goes on, and so does a
/// call that is run again.
template <class F>
void check_refused_in_step(F f, std::vector<std::string> texts) {
  Replay step([&](const Tensor& x) { return f(x); });
  const Tensor x = tensor({1, 2}, f64);
  step(x);
  CHECK_THROWS_AS(step(x), Error);  // and lets go of the result of the call before
  for (int i = 0; i < 2; ++i) CHECK_REFUSED(step(x), texts[0], texts[1]);
  CHECK(step.recordings() == 0);
  CHECK(test::same(tensor({1, 2}) + 1.0, {2, 3}));
}

}  // namespace

TEST_CASE("a Replay refuses options out of range") {
  const auto make = [](const ReplayOptions& options) {
    Replay step([](const Tensor& x) { return x; }, options);
  };
  CHECK_REFUSED(make({.verify_every = -1}), "Replay: verify_every must not be negative, got -1");
  CHECK_REFUSED(make({.most_recordings = 0}), "Replay: most_recordings must be positive, got 0");
}

TEST_CASE("a Replay refuses arguments that require a gradient, and calls from within") {
  Replay step([](const Tensor& x) { return x * 2.0; });
  CHECK_REFUSED(step(ones({2}).requires_grad(true)),
                "Replay: argument [2] requires a gradient; an argument is data");
  check_refused_in_step(
      [&](const Tensor& x) { return step(x) * 1.0; },
      {"a call of a Replay in a step that is being recorded", "a replay would not do it again"});
  const Tensor w = ones({2}).requires_grad(true);
  CHECK_REFUSED(checkpoint([&](const Tensor& x) { return x * step(ones({2})); }, w),
                "Replay: called in a function under checkpoint");
}

TEST_CASE("a step that is recorded is refused to read on the host what it computed") {
  const std::string computed = "of a tensor [] that 'sum";
  check_refused_in_step([](const Tensor& x) { return x * sum(x).item(); }, {"item", computed});
  check_refused_in_step([](const Tensor& x) { return sum(x).item() > 1 ? x * 2.0 : x * 1.0; },
                        {"item", computed});
  check_refused_in_step([](const Tensor& x) { return x * (x * 2.0).at({1}); },
                        {"at", "of a tensor [2] that 'mul'"});
  check_refused_in_step(
      [](const Tensor& x) {
        const Tensor y = x * 2.0;
        return x * y.span<double>()[0];
      },
      {"span", "of a tensor [2] that 'mul'"});
  check_refused_in_step([](const Tensor& x) { return x * (x * 2.0).to_vector<double>()[0]; },
                        {"span", "of a tensor [2] that 'mul'"});
  check_refused_in_step(
      [](const Tensor& x) {
        static_cast<void>(to_string(x * 2.0));
        return x * 1.0;
      },
      {"to_string", "of a tensor [2] that 'mul'"});
}

TEST_CASE("a step that is recorded is refused what a replay would not do again") {
  const Generator generator(1);
  const Tensor w = ones({2}, f64).requires_grad(true);
  const std::string again = "in a step that is being recorded: a replay would not do it again";
  check_refused_in_step([](const Tensor& x) { return x + tensor({1, 2}, f64); }, {"tensor", again});
  check_refused_in_step(
      [](const Tensor& x) {
        return x + tensor(std::vector{1.0, 2.0}, {2});
      },
      {"tensor", again});
  check_refused_in_step(
      [](const Tensor& x) {
        Tensor y = x.clone();
        y.mutable_span<double>()[0] = 1;
        return y;
      },
      {"mutable_span", again});
  check_refused_in_step([](const Tensor& x) { return randn(x.shape(), Generator(1), f64); },
                        {"to make a Generator", again});
  check_refused_in_step([&](const Tensor& x) { return x * generator.uniform(); },
                        {"a number drawn from a Generator", again});
  check_refused_in_step(
      [&](const Tensor& x) { return checkpoint([](const Tensor& t) { return t * 2.0; }, x * w); },
      {"checkpoint", again});
  check_refused_in_step(
      [&](const Tensor& x) {
        Team team(1);
        team.run([](int) {});
        return x * 1.0;
      },
      {"Team::run", again});
  check_refused_in_step(
      [&](const Tensor& x) {
        Tensor same = w;
        same.requires_grad(false);
        return x * 1.0;
      },
      {"requires_grad", again});
}

TEST_CASE("a step that is recorded is refused tensors that come from nowhere, or go elsewhere") {
  check_refused_in_step(
      [](const Tensor& x) { return x + empty({2}, f64); },
      {"a tensor [2] of a step that is being recorded is used", "but was filled by no launch"});
  Tensor outside;
  check_refused_in_step(
      [&](const Tensor& x) {
        outside = x * 2.0;
        return x * 1.0;
      },
      {"a step that is being recorded keeps a tensor [2] that 'mul'", "return it from the step"});
  Tensor h = zeros({2}, f64);
  Replay step([&](const Tensor& x) {
    h = (h + x).detach();
    return h;
  });
  step(ones({2}, f64));
  CHECK_THROWS_WITH_AS(step(ones({2}, f64)), doctest::Contains("keeps a tensor [2]"), Error);
}

TEST_CASE("a step that is recorded is refused to change its arguments, or to keep them") {
  check_refused_in_step(
      [](const Tensor& x) {
        x.assign(x * 2.0);
        return x * 1.0;
      },
      {"'copy' in a step that is being recorded changes an argument [2]",
       "return what it becomes"});
  std::vector<Tensor> kept;
  Replay step([&](const Tensor& x) {
    kept.push_back(x);
    return x * 1.0;
  });
  step(ones({2}));
  CHECK_THROWS_WITH_AS(step(ones({2})), doctest::Contains("keeps an argument [2]"), Error);
  Replay empties([](const Tensor&) { return empty({0, 3}); });
  for (int i = 0; i < 3; ++i) CHECK(empties(ones({2})).shape() == Shape{0, 3});
}

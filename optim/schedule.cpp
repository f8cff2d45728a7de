#include "schedule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "optimizer.hpp"

namespace retrace {

using detail::require_rates;

namespace {

/// n / steps, at most 1.
double done(std::int64_t n, std::int64_t steps) {
  return std::min(1.0, static_cast<double>(n) / static_cast<double>(steps));
}

/// A schedule that checks its steps and settings (as require_rates does), and n when called.
template <class F>
Schedule checked(const char* name, std::int64_t steps,
                 std::initializer_list<detail::Setting> settings, F factor) {
  require(steps >= 1, "{}: expected one step or more, got {}", name, steps);
  require_rates(name, settings);
  return [=](std::int64_t n) {
    require(n >= 0, "{}: there is no step {}", name, n);
    return factor(n);
  };
}

}  // namespace

Schedule step_lr(std::int64_t every, double gamma) {
  return checked("step_lr", every, {{"gamma", gamma}},
                 [=](std::int64_t n) { return std::pow(gamma, n / every); });
}

Schedule exponential_lr(double gamma) {
  return checked("exponential_lr", 1, {{"gamma", gamma}},
                 [=](std::int64_t n) { return std::pow(gamma, n); });
}

Schedule linear_lr(double start, double end, std::int64_t steps) {
  const auto factor = [=](std::int64_t n) { return start + (end - start) * done(n, steps); };
  return checked("linear_lr", steps, {{"start", start}, {"end", end}}, factor);
}

Schedule cosine_lr(std::int64_t steps, double lowest) {
  return checked("cosine_lr", steps, {{"lowest", lowest}}, [=](std::int64_t n) {
    return lowest + (1 - lowest) * (1 + std::cos(std::numbers::pi * done(n, steps))) / 2;
  });
}

Schedule in_turn(const Schedule& first, std::int64_t steps, const Schedule& next) {
  require(first && next, "in_turn: expected two schedules");
  return checked("in_turn", steps, {},
                 [=](std::int64_t n) { return n < steps ? first(n) : next(n - steps); });
}

ReduceLROnPlateau::ReduceLROnPlateau(const ReduceLROnPlateauOptions& o)
    : options_(o), state_(tensor({1, std::numeric_limits<double>::infinity(), 0, 0}, f64)) {
  detail::require_shares("ReduceLROnPlateau",
                         {{"factor", o.factor}, {"threshold", o.relative ? o.threshold : 0}});
  require_rates("ReduceLROnPlateau", {{"threshold", o.threshold}, {"lowest", o.lowest}});
  require(o.lowest <= 1, "ReduceLROnPlateau: lowest must be at most 1, got {}", o.lowest);
  require(o.patience >= 0 && o.cooldown >= 0,
          "ReduceLROnPlateau: negative patience {} or cooldown {}", o.patience, o.cooldown);
}

double ReduceLROnPlateau::operator()(double loss) {
  const auto numbers = state_.mutable_span<double>();
  double &factor = numbers[0], &best = numbers[1], &bad = numbers[2], &cooling = numbers[3];
  const bool better =
      loss < (options_.relative ? best * (1 - options_.threshold) : best - options_.threshold);
  if (better) best = loss;
  bad = better || cooling > 0 ? 0 : bad + 1;
  cooling = std::max(0.0, cooling - 1);
  if (bad > static_cast<double>(options_.patience)) {
    factor = std::max(factor * options_.factor, options_.lowest);
    bad = 0;
    cooling = static_cast<double>(options_.cooldown);
  }
  return factor;
}

Parameters ReduceLROnPlateau::state() const {
  Parameters list;
  list.add("plateau", state_);
  return list;
}

}  // namespace retrace

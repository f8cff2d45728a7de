#include "schedule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "optimizer.hpp"

namespace retrace {

using detail::require_rates;

namespace {

/// n of so many steps, at most 1.
double done(std::int64_t n, std::int64_t steps) {
  return std::min(1.0, static_cast<double>(n) / static_cast<double>(steps));
}

void require_steps(const char* schedule, std::int64_t steps) {
  require(steps >= 1, "{}: expected one step or more, got {}", schedule, steps);
}

}  // namespace

Schedule step_lr(std::int64_t every, double gamma) {
  require_steps("step_lr", every);
  require_rates("step_lr", {{"gamma", gamma}});
  return [=](std::int64_t n) { return std::pow(gamma, n / every); };
}

Schedule exponential_lr(double gamma) {
  require_rates("exponential_lr", {{"gamma", gamma}});
  return [=](std::int64_t n) { return std::pow(gamma, n); };
}

Schedule linear_lr(double start, double end, std::int64_t steps) {
  require_steps("linear_lr", steps);
  require_rates("linear_lr", {{"start", start}, {"end", end}});
  return [=](std::int64_t n) { return start + (end - start) * done(n, steps); };
}

Schedule cosine_lr(std::int64_t steps, double lowest) {
  require_steps("cosine_lr", steps);
  require_rates("cosine_lr", {{"lowest", lowest}});
  return [=](std::int64_t n) { return lowest + (1 - lowest) * (1 + std::cos(std::numbers::pi * done(n, steps))) / 2; };
}

Schedule in_turn(const Schedule& first, std::int64_t steps, const Schedule& next) {
  require_steps("in_turn", steps);
  require(first && next, "in_turn: expected two schedules");
  return [=](std::int64_t n) { return n < steps ? first(n) : next(n - steps); };
}

ReduceLROnPlateau::ReduceLROnPlateau(const ReduceLROnPlateauOptions& o)
    : options_(o), state_(tensor({1, std::numeric_limits<double>::infinity(), 0, 0}, f64)) {
  detail::require_shares("ReduceLROnPlateau", {{"factor", o.factor}, {"threshold", o.relative ? o.threshold : 0}});
  require_rates("ReduceLROnPlateau", {{"threshold", o.threshold}, {"lowest", o.lowest}});
  require(o.patience >= 0 && o.cooldown >= 0, "ReduceLROnPlateau: negative patience {} or cooldown {}", o.patience,
          o.cooldown);
}

double ReduceLROnPlateau::operator()(double loss) {
  const auto numbers = state_.mutable_span<double>();
  double &factor = numbers[0], &best = numbers[1], &bad = numbers[2], &cooling = numbers[3];
  const bool better = loss < (options_.relative ? best * (1 - options_.threshold) : best - options_.threshold);
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

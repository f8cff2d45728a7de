#include "generator.hpp"

#include <bit>
#include <cmath>
#include <numbers>

#include "../error.hpp"
#include "../recorder_hooks.hpp"

namespace retrace {
namespace {

std::uint64_t splitmix64(std::uint64_t& s) {
  std::uint64_t z = s += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Generator::Generator(std::uint64_t seed) : state_(std::make_shared<State>()) {
  detail::forbid_in_step("to make a Generator");
  for (std::uint64_t& word : *state_) word = splitmix64(seed);
}

void detail::note(const Generator& generator, const Generator::State& before) {
  forbid_in_step("a number drawn from a Generator");
  if (!this_thread.draws) return;
  for (const auto& [other, state] : *this_thread.draws)
    if (other.same_as(generator)) return;
  this_thread.draws->emplace_back(generator, before);
}

std::uint64_t Generator::next() const {
  State& s = *state_;
  if (detail::this_thread.draws) [[unlikely]]
    detail::note(*this, s);
  const std::uint64_t result = std::rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

double Generator::uniform() const { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Generator::normal() const {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::int64_t Generator::below(std::int64_t n) const {
  require(n > 0, "Generator::below: expected a positive number, got {}", n);
  const auto limit = static_cast<std::uint64_t>(n);
  // The 2^64 mod n lowest values would favour small results.
  const std::uint64_t fair = -limit % limit;
  std::uint64_t bits = next();
  while (bits < fair) bits = next();
  return static_cast<std::int64_t>(bits % limit);
}

Generator Generator::clone() const {
  detail::forbid_in_step("Generator::clone");
  detail::note(*this, *state_);
  Generator copy(0);
  *copy.state_ = *state_;
  return copy;
}

void Generator::set_state(const State& state) {
  detail::forbid_in_step("Generator::set_state");
  require(state != State{}, "Generator::set_state: the state must not be all zero");
  *state_ = state;
}

}  // namespace retrace

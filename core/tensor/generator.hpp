#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace retrace {

/// A seeded source of random numbers, xoshiro256** (Blackman and Vigna, 2018) seeded by splitmix64;
/// its bits are the same on every platform. A handle: copies, const ones too, draw from one
/// sequence, `clone` starts an equal one. Not to be shared between threads.
class Generator {
 public:
  using State = std::array<std::uint64_t, 4>;

  explicit Generator(std::uint64_t seed);
  // No move: moves copy, so that no generator is left without a state.
  Generator(const Generator&) = default;
  Generator& operator=(const Generator&) = default;

  /// 64 random bits.
  std::uint64_t next() const;
  /// Uniform in [0, 1), with 53 random bits.
  double uniform() const;
  /// Standard normal (Box-Muller).
  double normal() const;
  /// Uniform among 0 .. n-1. Throws Error unless n > 0.
  std::int64_t below(std::int64_t n) const;

  /// An equal generator with a sequence of its own.
  Generator clone() const;
  bool same_as(const Generator& other) const { return state_ == other.state_; }
  /// All there is to it, to be saved and restored. set_state throws Error for zeros alone.
  State state() const { return *state_; }
  void set_state(const State& state);

 private:
  std::shared_ptr<State> state_;
};

namespace detail {
/// Generators that were used, with the states they had before.
struct Draws : std::vector<std::pair<Generator, Generator::State>> {};
/// Adds a generator and the state before its use to the Draws of this thread, if it has any.
void note(const Generator& generator, const Generator::State& before);
}  // namespace detail

}  // namespace retrace

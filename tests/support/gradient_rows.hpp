#pragma once

#include "random_cases.hpp"

/// Rows of a table of things whose gradients are checked, and what runs through them.
namespace retrace::test {

struct OpRow {
  std::string name;  ///< the operation as the graph calls it, or the layer; what the row is about
                     ///< follows after a colon
  std::function<OpCase(Draw&)> draw;
  GradcheckOptions options = {};
  double usual = 1e-9;  ///< the largest relative difference of 99 draws in 100

  std::string op() const { return name.substr(0, name.find(':')); }
};

/// A function of as many tensors as are given.
template <class F, class... Inputs>
OpCase op_case(F f, const Inputs&... inputs) {
  const auto call = [f](std::span<const Tensor> xs) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return f(xs[I]...); }
    (std::index_sequence_for<Inputs...>());
  };
  return {call, {inputs...}};
}

/// Calls f(row, seed) for so many draws of each row, the first one seeded by the environment's
/// RETRACE_SEED, or 1; what it checks is reported with the seed.
void for_each_draw(const std::vector<OpRow>& rows, std::uint64_t draws,
                   const std::function<void(const OpRow& row, std::uint64_t seed)>& f);

/// Holds gradients of first and second order against differences, for as many draws of each row as
/// the environment's RETRACE_DRAWS says, or 100: none may be off by 1e-7, and 99 in 100 by no more
/// than is usual.
void check_gradients(const std::vector<OpRow>& rows);

}  // namespace retrace::test

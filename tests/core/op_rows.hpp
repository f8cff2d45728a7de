#pragma once

#include <utility>

#include "support/random_cases.hpp"

/// One row per differentiable operation: how to draw a call of it that can be checked against differences.
namespace retrace::test {

struct OpRow {
  std::string name;  ///< the operation as the graph calls it; what the row is about follows after a colon
  std::function<OpCase(Draw&)> draw;
  GradcheckOptions options = {};

  std::string op() const { return name.substr(0, name.find(':')); }
};

std::vector<OpRow> arithmetic_rows();
std::vector<OpRow> function_rows();
std::vector<OpRow> shape_rows();
std::vector<OpRow> region_rows();
std::vector<OpRow> reduction_rows();
std::vector<OpRow> index_rows();
std::vector<OpRow> loss_rows();
std::vector<OpRow> product_rows();
std::vector<OpRow> all_rows();

/// A function of as many tensors as are given.
template <class F, class... Inputs>
OpCase op_case(F f, const Inputs&... inputs) {
  const auto call = [f](std::span<const Tensor> xs) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return f(xs[I]...); }
    (std::index_sequence_for<Inputs...>());
  };
  return {call, {inputs...}};
}

}  // namespace retrace::test

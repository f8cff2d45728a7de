#pragma once

#include "../function.hpp"
#include "../graph/record.hpp"

namespace retrace {

namespace detail {
/// The function that checkpoint runs, and backward runs again.
using Segment = Function<std::vector<Tensor>(std::span<const Tensor>)>;
std::vector<Tensor> run_segment(const Segment& segment, const std::vector<Tensor>& inputs);
}  // namespace detail

/// f(inputs...), a tensor or a vector of tensors, without the graph that leads to it: backward runs
/// f again on the same inputs to get it back. A sequence of T steps in segments of about sqrt(T) so
/// trains in memory that grows with sqrt(T), for the time of a second forward pass (Chen et al.
/// 2016, "Training deep nets with sublinear memory cost"). Gradients go to the inputs and to every
/// leaf that f refers to. Throws Error if f refers to a recorded result that is not an input.
///
/// f is kept until the graph is freed. It is run again in the training mode and with the generators
/// as they were. Backward throws Error if it then computes anything else than before, say with a
/// parameter that was changed.
template <class F, class... Inputs>
auto checkpoint(F f, const Inputs&... inputs) {
  using Result = std::invoke_result_t<F&, const Inputs&...>;
  static_assert((std::is_convertible_v<const Inputs&, Tensor> && ...),
                "the inputs must be tensors: of a list of states hand in each h and c");
  constexpr bool is_one = std::is_convertible_v<Result, Tensor>;
  static_assert(is_one || std::is_same_v<Result, std::vector<Tensor>>,
                "f must return a Tensor or a vector of them");
  auto run = [f = std::move(f)](std::span<const Tensor> x) mutable {
    return [&]<std::size_t... I>(std::index_sequence<I...>)->std::vector<Tensor> {
      return {f(x[I]...)};
    }
    (std::index_sequence_for<Inputs...>());
  };
  std::vector<Tensor> ys = detail::run_segment(run, {inputs...});
  if constexpr (is_one)
    return Tensor(std::move(ys[0]));
  else
    return ys;
}

}  // namespace retrace

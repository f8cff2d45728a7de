#pragma once

#include <algorithm>

#include "recurrent.hpp"

/// The definition of the loop, for the sources of a cell: after its `advance` they say
/// `template class Recurrent<Cell>;`, and its header, after the class, `extern template class
/// Recurrent<Cell>;`. A cell that only one source knows needs neither.
namespace retrace {

template <class Cell, class State>
RecurrenceOf<State> Recurrent<Cell, State>::operator()(Tensor x, const State& given,
                                                       const Tensor& lengths) const {
  check_input("", "batch, steps", 3, x);
  require(x.dim(1) > 0, "{}: expected one step or more, got x {}", name_, x.shape());
  State state = started("", given, x);
  const detail::Ends ends(name_, lengths, x);
  const std::int64_t steps = x.dim(1), at_once = steps_at_once(x);
  if (ends.shortest < steps)  // a gradient of 0 would not stay 0 on its way through NaN
    x = where(reshape(ends.lengths > arange(steps), {-1, steps, 1}), x, 0.0);
  std::vector<Tensor> outputs(options_.last_only ? 0 : static_cast<std::size_t>(steps));
  for (std::int64_t done = 0; done < steps; done += at_once) {
    const std::int64_t count = std::min(at_once, steps - done),
                       first = options_.reverse ? steps - done - count : done;
    const Tensor chunk = count == steps ? x : slice(x, 1, first, first + count);
    // Steps outermost, so that each is one contiguous block.
    std::vector<Tensor> projected =
        unstack(cell().project(permute(chunk, {1, 0, 2}).contiguous()), 0);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t t = options_.reverse ? first + count - 1 - i : first + i;
      State next = cell().advance(std::move(projected[static_cast<std::size_t>(t - first)]), state);
      const Tensor reached = ends.reached(t);
      if (reached.defined())
        next = detail::each_of(
            [&](const Tensor& to, const Tensor& from) { return where(reached, to, from); }, next,
            state);
      state = std::move(next);
      if (options_.last_only) continue;
      const Tensor& y = detail::output_of(state);
      outputs[static_cast<std::size_t>(t)] = reached.defined() ? where(reached, y, 0.0) : y;
    }
  }
  return {options_.last_only ? detail::output_of(state) : stack(outputs, 1), state};
}

template <class Cell, class State>
State Recurrent<Cell, State>::step(const Tensor& x_t, const State& state) const {
  check_input("::step", "batch", 2, x_t);
  return cell().advance(cell().project(x_t), started("::step", state, x_t));
}

}  // namespace retrace

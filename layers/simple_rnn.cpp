#include "simple_rnn.hpp"

#include <algorithm>
#include <cmath>

namespace retrace {

SimpleRNN::SimpleRNN(std::int64_t features, std::int64_t units, const Generator& generator, SimpleRNNOptions options)
    : last_only_(options.last_only) {
  require(features > 0 && units > 0, "SimpleRNN: sizes must be positive, got features = {}, units = {}", features,
          units);
  const double bound = 1 / std::sqrt(static_cast<double>(units));
  const auto weight = [&](const Shape& shape) {
    return uniform(shape, -bound, bound, generator, options.dtype).requires_grad(true);
  };
  w_x = weight({features, units});
  w_h = weight({units, units});
  b = weight({units});
}

Recurrence SimpleRNN::operator()(const Tensor& x, const Tensor& state) const {
  const std::int64_t features = w_x.dim(0), units = w_h.dim(0);
  require(x.rank() == 3 && x.dim(2) == features, "SimpleRNN: expected x [batch, steps, {}], got {}", features,
          x.shape());
  require(x.dim(1) > 0, "SimpleRNN: expected one step or more, got x {}", x.shape());
  const Shape state_shape{x.dim(0), units};
  require(!state.defined() || state.shape() == state_shape, "SimpleRNN: expected a state {}, got {}", state_shape,
          state.defined() ? state.shape() : Shape{});

  // The share of the input in many steps is one product, but no longer than stays in the cache until it is used.
  constexpr std::int64_t elements_at_once = 65536;
  const std::int64_t steps = x.dim(1), steps_at_once = std::max<std::int64_t>(
                                           1, elements_at_once / std::max<std::int64_t>(1, state_shape.size()));
  Tensor h = state.defined() ? state : zeros(state_shape, x.dtype());
  std::vector<Tensor> states;
  for (std::int64_t start = 0; start < steps; start += steps_at_once) {
    const Tensor part = steps <= steps_at_once ? x : slice(x, 1, start, start + steps_at_once);
    // Steps outermost, so that each is one contiguous block.
    for (Tensor& p : unstack(project(permute(part, {1, 0, 2}).contiguous()), 0)) {
      h = advance(std::move(p), h);
      if (!last_only_) states.push_back(h);
    }
  }
  return {last_only_ ? h : stack(states, 1), h};
}

Tensor SimpleRNN::step(const Tensor& x_t, const Tensor& h) const {
  require(x_t.rank() == 2 && x_t.dim(1) == w_x.dim(0), "SimpleRNN::step: expected x [batch, {}], got {}", w_x.dim(0),
          x_t.shape());
  const Shape state_shape{x_t.dim(0), w_h.dim(0)};
  require(h.shape() == state_shape, "SimpleRNN::step: expected a state {}, got {}", state_shape, h.shape());
  return advance(project(x_t), h);
}

}  // namespace retrace

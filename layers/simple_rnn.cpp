#include "simple_rnn.hpp"

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

  // Steps outermost, so that each is one contiguous block.
  std::vector<Tensor> projected = unstack(project(permute(x, {1, 0, 2}).contiguous()), 0);
  Tensor h = state.defined() ? state : zeros(state_shape, x.dtype());
  std::vector<Tensor> states;
  for (Tensor& p : projected) {
    h = advance(std::move(p), h);
    if (!last_only_) states.push_back(h);
  }
  return {last_only_ ? h : stack(states, 1), h};
}

}  // namespace retrace

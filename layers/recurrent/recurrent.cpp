#include "recurrent.hpp"

#include <algorithm>
#include <cmath>

namespace retrace {
namespace {

/// How many steps of x all sequences have.
std::int64_t shortest_of(const char* layer, const Tensor& lengths, const Tensor& x) {
  std::int64_t shortest = x.shape()[1];
  if (!lengths.defined()) return shortest;
  require(lengths.dtype() == i64 && lengths.shape() == Shape{x.dim(0)},
          "{}: expected lengths i64 [{}], got {} {}", layer, x.dim(0), lengths.dtype(),
          lengths.shape());
  for (const std::int64_t length : lengths.to_vector<std::int64_t>()) {
    require(length >= 0 && length <= x.dim(1), "{}: a length is {}, but x {} has {} steps", layer,
            length, x.shape(), x.dim(1));
    shortest = std::min(shortest, length);
  }
  return shortest;
}

}  // namespace

RecurrentState::operator Tensor() const {
  require(!c.defined(), "a state of h and c was used as one tensor; name the one that is meant");
  return h;
}

Recurrent::Recurrent(const Kind& kind, std::int64_t features, std::int64_t units,
                     const Generator& generator, const RecurrentOptions& options)
    : kind_(kind), options_(options) {
  require(features > 0 && units > 0 && units <= 0x7fffffff,
          "{}: sizes must be positive, got features = {}, units = {} (at most 2^31 - 1)", kind.name,
          features, units);
  w_x = initial({features, kind.gates * units}, units, generator);
  w_h = initial({units, kind.gates * units}, units, generator);
  b = initial({kind.gates * units}, units, generator);
}

Tensor Recurrent::initial(const Shape& shape, std::int64_t units,
                          const Generator& generator) const {
  const double bound = 1 / std::sqrt(static_cast<double>(units));
  return uniform(shape, -bound, bound, generator, options_.dtype).requires_grad(true);
}

std::vector<Tensor> Recurrent::gates_of(const Tensor& x) const {
  return unstack(reshape(x, {x.dim(0), kind_.gates, width()}), 1);
}

RecurrentState Recurrent::begin(int rank, const Tensor& x, const State& given) const {
  const char* in = rank == 2 ? "::step" : "";
  require(x.rank() == rank && x.dim(-1) == w_x.dim(0), "{}{}: expected x [batch, {}{}], got {}",
          kind_.name, in, rank == 2 ? "" : "steps, ", w_x.dim(0), x.shape());
  check_dtype(in, "x", x);
  require(x.shape()[1] > 0, "{}: expected one step or more, got x {}", kind_.name, x.shape());
  const Shape shape{x.shape()[0], width()};
  State state = given;
  if (!state.h.defined()) state.h = zeros(shape, x.dtype());
  if (kind_.has_c && !state.c.defined()) state.c = zeros(shape, x.dtype());
  if (given.h.defined() || given.c.defined()) check_state(in, state, shape);
  return state;
}

void Recurrent::check_dtype(const char* in, const char* what, const Tensor& part) const {
  require(part.dtype() == w_x.dtype(),
          "{}{}: {} is {} {} but the weights are {}; cast with .to({})", kind_.name, in, what,
          part.dtype(), part.shape(), w_x.dtype(), w_x.dtype());
}

void Recurrent::check_state(const char* in, const State& state, const Shape& shape) const {
  const auto fits = [&](const Tensor& part) {
    return part.defined() && part.dtype() == w_x.dtype() && part.shape() == shape;
  };
  if (fits(state.h) && (kind_.has_c ? fits(state.c) : !state.c.defined())) return;
  const auto check = [&](const Tensor& part) {
    require(part.defined(), "{}{}: expected a state {}, got an undefined h or c", kind_.name, in,
            shape);
    require(part.shape() == shape, "{}{}: expected a state {}, got {}", kind_.name, in, shape,
            part.shape());
    check_dtype(in, "the state", part);
  };
  check(state.h);
  if (kind_.has_c) check(state.c);
  require(kind_.has_c || !state.c.defined(), "{}{}: expected a state of one tensor, got h and c",
          kind_.name, in);
}

Recurrence Recurrent::operator()(Tensor x, const State& given, const Tensor& lengths) const {
  State state = begin(3, x, given);
  const std::int64_t batch = x.shape()[0], steps = x.shape()[1],
                     shortest = shortest_of(kind_.name, lengths, x);
  Tensor within;  // whether a sequence has a step: [batch, steps, 1]
  if (shortest < steps) {
    within = reshape(lengths, {batch, 1, 1}) > reshape(arange(steps), {steps, 1});
    x = where(within, x, 0.0);  // a gradient of 0 would not stay 0 on its way through NaN
  }
  // As many steps are projected at once, in one product, as stay in the cache until they are used.
  constexpr std::int64_t elements_at_once = 65536;
  const std::int64_t at_once =
      std::max<std::int64_t>(1, elements_at_once / std::max<std::int64_t>(1, batch * w_h.dim(1)));
  std::vector<Tensor> outputs(options_.last_only ? 0 : static_cast<std::size_t>(steps));
  for (std::int64_t n = 0; n < steps;) {
    const std::int64_t count = std::min(at_once, steps - n),
                       first = options_.reverse ? steps - n - count : n;
    const Tensor chunk = count == steps ? x : slice(x, 1, first, first + count);
    // Steps outermost, so that each is one contiguous block.
    std::vector<Tensor> projected =
        unstack(addmm(b, permute(chunk, {1, 0, 2}).contiguous(), w_x), 0);
    if (options_.reverse) std::reverse(projected.begin(), projected.end());
    for (Tensor& of_step : projected) {
      const std::int64_t t = options_.reverse ? steps - 1 - n : n;
      State next = advance(std::move(of_step), state);
      if (n == 0) check_state("::advance", next, state.h.shape());
      if (t >= shortest) {
        const Tensor reached = select(within, 1, t);
        next.h = where(reached, next.h, state.h);
        if (kind_.has_c) next.c = where(reached, next.c, state.c);
      }
      state = std::move(next);
      if (!options_.last_only) outputs[static_cast<std::size_t>(t)] = state.h;
      ++n;
    }
  }
  Tensor y = options_.last_only ? state.h : stack(outputs, 1);
  if (shortest < steps && !options_.last_only) y = where(within, y, 0.0);
  return {y, state};
}

RecurrentState Recurrent::step(const Tensor& x_t, const State& state) const {
  const State start = begin(2, x_t, state);
  State next = advance(addmm(b, x_t, w_x), start);
  check_state("::advance", next, {x_t.dim(0), width()});
  return next;
}

}  // namespace retrace

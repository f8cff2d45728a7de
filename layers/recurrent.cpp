#include "recurrent.hpp"

#include <algorithm>
#include <cmath>

namespace retrace::detail {

Ends::Ends(const char* layer, const Tensor& given, const Tensor& x) : shortest(x.dim(1)) {
  if (!given.defined()) return;
  require(given.dtype() == i64 && given.shape() == Shape{x.dim(0)},
          "{}: expected lengths i64 [{}], got {} {}", layer, x.dim(0), given.dtype(),
          given.shape());
  for (const std::int64_t length : given.to_vector<std::int64_t>()) {
    require(length >= 0 && length <= x.dim(1), "{}: a length is {}, but x {} has {} steps", layer,
            length, x.shape(), x.dim(1));
    shortest = std::min(shortest, length);
  }
  lengths = reshape(given, {x.dim(0), 1});
}

std::vector<Tensor> split_columns(const Tensor& x, int n) {
  return unstack(reshape(x, {x.dim(0), n, x.dim(1) / n}), 1);
}

RecurrentWeights::RecurrentWeights(const char* name, int gates, std::int64_t features,
                                   std::int64_t units, const Generator& generator,
                                   const RecurrentOptions& options)
    : name_(name), options_(options) {
  require(features > 0 && units > 0 && units <= 0x7fffffff,
          "{}: sizes must be positive, got features = {}, units = {} (at most 2^31 - 1)", name,
          features, units);
  w_x = initial({features, gates * units}, units, generator);
  w_h = initial({units, gates * units}, units, generator);
  b = initial({gates * units}, units, generator);
}

Tensor RecurrentWeights::initial(const Shape& shape, std::int64_t units,
                                 const Generator& generator) const {
  const double bound = 1 / std::sqrt(static_cast<double>(units));
  return uniform(shape, -bound, bound, generator, options_.dtype).requires_grad(true);
}

void RecurrentWeights::check_input(const char* step, const char* axes, int rank,
                                   const Tensor& x) const {
  require(x.rank() == rank && x.dim(-1) == w_x.dim(0), "{}{}: expected x [{}, {}], got {}", name_,
          step, axes, w_x.dim(0), x.shape());
  check_dtype(step, "x", x);
}

void RecurrentWeights::check_dtype(const char* step, const char* what, const Tensor& x) const {
  require(x.dtype() == w_x.dtype(), "{}{}: {} is {} {} but the weights are {}; cast with .to({})",
          name_, step, what, x.dtype(), x.shape(), w_x.dtype(), w_x.dtype());
}

Tensor RecurrentWeights::start(const char* step, const Tensor& given, const Tensor& x) const {
  const Shape shape{x.dim(0), w_h.dim(0)};
  if (!given.defined()) return zeros(shape, x.dtype());
  require(given.shape() == shape, "{}{}: expected a state {}, got {}", name_, step, shape,
          given.shape());
  check_dtype(step, "the state", given);
  return given;
}

std::int64_t RecurrentWeights::steps_at_once(const Tensor& x) const {
  constexpr std::int64_t elements_at_once = 65536;
  return std::max<std::int64_t>(
      1, elements_at_once / std::max<std::int64_t>(1, x.dim(0) * w_h.dim(1)));
}

}  // namespace retrace::detail

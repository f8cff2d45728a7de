#include "linear.hpp"

#include <cmath>

namespace retrace {

Linear::Linear(std::int64_t in, std::int64_t out, const Generator& generator,
               LinearOptions options) {
  require(in > 0 && out > 0, "Linear: sizes must be positive, got in = {}, out = {}", in, out);
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  w = uniform({in, out}, -bound, bound, generator, options.dtype).requires_grad(true);
  if (options.bias) b = uniform({out}, -bound, bound, generator, options.dtype).requires_grad(true);
}

Tensor Linear::operator()(const Tensor& x) const {
  require(x.rank() >= 1 && x.dim(-1) == w.dim(0), "Linear: expected [..., {}], got {}", w.dim(0),
          x.shape());
  require(x.dtype() == w.dtype(), "Linear: x is {} {} but the weights are {}; cast with .to({})",
          x.dtype(), x.shape(), w.dtype(), w.dtype());
  if (x.rank() == 1) return reshape((*this)(reshape(x, {1, x.dim(0)})), {w.dim(1)});
  return b.defined() ? addmm(b, x, w) : matmul(x, w);
}

}  // namespace retrace

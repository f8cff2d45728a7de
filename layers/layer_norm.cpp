#include "layer_norm.hpp"

#include <cmath>

namespace retrace {

LayerNorm::LayerNorm(std::int64_t width, LayerNormOptions options) : eps_(options.eps) {
  require(width > 0, "LayerNorm: the width must be positive, got {}", width);
  require(eps_ >= 0 && std::isfinite(eps_),
          "LayerNorm: eps must be finite and not negative, got {}", eps_);
  w = ones({width}, options.dtype).requires_grad(true);
  b = zeros({width}, options.dtype).requires_grad(true);
}

Tensor LayerNorm::operator()(const Tensor& x) const {
  require(x.rank() > 0 && x.dim(-1) == w.dim(0), "LayerNorm: expected [..., {}], got {}", w.dim(0),
          x.shape());
  const Tensor centred = x - mean(x, -1, {.keepdims = true});
  const Tensor variance = mean(centred * centred, -1, {.keepdims = true});
  return centred / sqrt(variance + eps_) * w + b;
}

}  // namespace retrace

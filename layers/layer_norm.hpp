#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct LayerNormOptions {
  double eps = 1e-5;
  DType dtype = f32;
};

/// y = (x - mean) / sqrt(variance + eps) * w + b with the mean and the variance (of the population) of each row: x
/// [..., width] -> [..., width]. Ba, Kiros and Hinton (2016); as PyTorch's nn.LayerNorm.
class LayerNorm {
 public:
  explicit LayerNorm(std::int64_t width, LayerNormOptions options = {}) : eps_(options.eps) {
    require(width > 0, "LayerNorm: the width must be positive, got {}", width);
    w = ones({width}, options.dtype).requires_grad(true);
    b = zeros({width}, options.dtype).requires_grad(true);
  }

  Tensor operator()(const Tensor& x) const {
    require(x.rank() > 0 && x.dim(-1) == w.dim(0), "LayerNorm: expected [..., {}], got {}", w.dim(0), x.shape());
    const Tensor centred = x - mean(x, -1, {.keepdims = true});
    const Tensor variance = mean(centred * centred, -1, {.keepdims = true});
    return centred / sqrt(variance + eps_) * w + b;
  }
  void parts(auto& list) {
    list("w", w);
    list("b", b);
  }

  Tensor w;  ///< [width], ones at first
  Tensor b;  ///< [width], zeros at first

 private:
  double eps_;
};

}  // namespace retrace

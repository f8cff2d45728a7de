#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct LayerNormOptions {
  double eps = 1e-5;  ///< finite and not negative; with 0 a row of equal numbers gives NaN
  DType dtype = f32;
};

/// y = (x - mean) / sqrt(variance + eps) * w + b with the mean and the variance (of the population)
/// of each row: x [..., width] -> [..., width]. Throws Error for another width. Ba, Kiros and
/// Hinton (2016); as PyTorch's nn.LayerNorm.
class LayerNorm {
 public:
  /// Throws Error unless the width is positive and eps as said above.
  explicit LayerNorm(std::int64_t width, LayerNormOptions options = {});

  Tensor operator()(const Tensor& x) const;
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

#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct LinearOptions {
  bool bias = true;
  DType dtype = f32;
};

/// y = x w + b: x [..., in] -> [..., out]. Throws Error if the last axis of x is not `in` or the
/// dtype is not that of the weights.
class Linear {
 public:
  /// Weights and bias uniform in +-1/sqrt(in), as PyTorch's nn.Linear starts. Throws Error unless
  /// both sizes are positive.
  Linear(std::int64_t in, std::int64_t out, const Generator& generator, LinearOptions options = {});

  Tensor operator()(const Tensor& x) const;
  void parts(auto& list) {
    list("w", w);
    list("b", b);
  }

  Tensor w;  ///< [in, out]
  Tensor b;  ///< [out]; undefined without bias
};

}  // namespace retrace

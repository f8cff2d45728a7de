#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct EmbeddingOptions {
  DType dtype = f32;
};

/// A vector for each of `count` symbols: indices (i64) [...] -> [..., width]. Throws Error for an
/// index that is not one of 0 .. count-1.
class Embedding {
 public:
  /// Standard normal vectors, as in PyTorch's nn.Embedding. Throws Error unless sizes are positive.
  Embedding(std::int64_t count, std::int64_t width, const Generator& generator,
            EmbeddingOptions options = {}) {
    require(count > 0 && width > 0, "Embedding: sizes must be positive, got count = {}, width = {}",
            count, width);
    w = randn({count, width}, generator, options.dtype).requires_grad(true);
  }

  Tensor operator()(const Tensor& index) const { return embedding(w, index); }
  void parts(auto& list) { list("w", w); }

  Tensor w;  ///< [count, width]
};

}  // namespace retrace

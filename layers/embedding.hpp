#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct EmbeddingOptions {
  DType dtype = f32;
};

/// A vector for each of `count` symbols: indices (i64) [...] -> [..., width].
class Embedding {
 public:
  /// Standard normal vectors, as PyTorch's nn.Embedding starts.
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

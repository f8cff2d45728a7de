#include "embedding.hpp"

namespace retrace {

Embedding::Embedding(std::int64_t count, std::int64_t width, const Generator& generator, EmbeddingOptions options) {
  require(count > 0 && width > 0, "Embedding: sizes must be positive, got count = {}, width = {}", count, width);
  w = randn({count, width}, generator, options.dtype).requires_grad(true);
}

}  // namespace retrace

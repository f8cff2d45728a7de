#pragma once

#include <span>
#include <variant>

#include "../tensor/tensor.hpp"

namespace retrace {

/// One axis of a tensor from `start`, `size` elements `step` apart; `drop` removes the axis (its
/// size is 1).
struct Region {
  int axis = 0;
  std::int64_t start = 0, step = 1, size = 1;
  bool drop = false;
};

/// What a rule may return instead of a tensor, to say how its cotangent is made and where it lands;
/// the engine then adds it to what has accumulated without a full-size temporary. Under
/// create_graph it becomes recorded operations.
struct Factor {  ///< a matrix as it is or transposed; leading axes count as rows of the matrix
  Tensor x;
  bool is_transposed = false;

  Factor(Tensor t) : x(std::move(t)) {}
  Factor(Tensor t, bool transposed) : x(std::move(t)), is_transposed(transposed) {}
};
inline Factor transposed(Tensor x) { return {std::move(x), true}; }
struct Product {  ///< a times b, two matrices, which has the elements of the input in row-major
                  ///< order
  Factor a, b;
};
inline Product product(Factor a, Factor b) { return {std::move(a), std::move(b)}; }
struct Placed {  ///< `value` at a region of the input, zero elsewhere
  Tensor value;
  Region region;
};
struct Scattered {  ///< `value` added at `index` along an axis of the input, as gather reads it
  Tensor value, index;
  int axis = 0;
};
/// Any of these or a tensor, as a rule for all inputs returns one for each; an undefined tensor
/// adds nothing.
using Contribution = std::variant<Tensor, Product, Placed, Scattered>;

namespace detail {
// Each is defined with the operation that it belongs to, in ops/.

/// The value of a product in the shape of the input it is for, recorded.
Tensor evaluate(const Product& product, const Shape& shape);
/// Add to an accumulator in place; it is row-major and nobody else sees it.
void add_to(Tensor& to, const Product& product);
void add_to(Tensor& to, std::span<const Product> products);
/// Columns of a, which are rows of b. Throws Error unless the product has the elements of `to`.
std::int64_t inner_size(const Product& product, const Shape& to, DType dtype);
void add_to(Tensor& to, const Placed& placed);
void add_to(Tensor& to, const Scattered& scattered);

}  // namespace detail

}  // namespace retrace

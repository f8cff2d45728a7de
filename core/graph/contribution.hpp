#pragma once

#include <span>
#include <variant>

#include "../tensor/tensor.hpp"

namespace retrace {

/// A part of a tensor: along one axis `size` elements, `step` apart, from `start` on. `drop`
/// removes the axis, whose size is then 1.
struct Region {
  int axis = 0;
  std::int64_t start = 0, step = 1, size = 1;
  bool drop = false;
};

// A rule may return a Product, Placed or Scattered instead of a tensor, to say how the cotangent is
// made and where it goes: the backward pass then adds it to what has accumulated without a
// full-size temporary. Under create_graph it becomes recorded operations.

/// A matrix as it is or transposed; leading axes count as rows of the matrix.
struct Factor {
  Tensor x;
  bool is_transposed;

  Factor(Tensor t, bool transposed = false) : x(std::move(t)), is_transposed(transposed) {}
};
inline Factor transposed(Tensor x) { return {std::move(x), true}; }
/// a times b, two matrices; its elements are those of the cotangent, in row-major order.
struct Product {
  Factor a, b;
};
inline Product product(Factor a, Factor b) { return {std::move(a), std::move(b)}; }
/// `value` at a region of the input, zero elsewhere.
struct Placed {
  Tensor value;
  Region region;
};
/// `value` added at `index` along an axis of the input, where gather reads.
struct Scattered {
  Tensor value, index;
  int axis = 0;
};
/// A tensor or any of these; a rule for all inputs returns a list, one for each input. An undefined
/// tensor adds nothing.
using Contribution = std::variant<Tensor, Product, Placed, Scattered>;

namespace detail {
// Each is defined in ops/, with the operation that it belongs to.

/// The value of a product in the shape of the input it is for, recorded.
Tensor evaluate(const Product& product, const Shape& shape);
/// Add to an accumulator in place; it is row-major and nobody else sees it.
void add_to(Tensor& to, const Product& product);
void add_to(Tensor& to, std::span<const Product> products);
/// Number of columns of a and rows of b. Throws Error unless both fit each other, `to` and dtype.
std::int64_t inner_size(const Product& product, const Shape& to, DType dtype);
void add_to(Tensor& to, const Placed& placed);
void add_to(Tensor& to, const Scattered& scattered);

}  // namespace detail

}  // namespace retrace

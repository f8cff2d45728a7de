#pragma once

#include "../graph/record.hpp"

/// Private to the engine.
namespace retrace::detail {

/// The value of a product in the shape of the input it is for, recorded.
Tensor evaluate(const Product& product, const Shape& shape);
/// Add to an accumulator in place; it is row-major and nobody else sees it.
void add_to(Tensor& to, const Product& product);
void add_to(Tensor& to, std::span<const Product> products);
/// Columns of a, which are rows of b. An Error unless the product has the elements of `to`.
std::int64_t inner_size(const Product& product, const Shape& to, DType dtype);
void add_to(Tensor& to, const Placed& placed);
void add_to(Tensor& to, const Scattered& scattered);

/// An Error if something that a rule of n wants to see again was changed in place.
void check_versions(const Node& n, Rule& rule);

/// These and the values that rules of n see again.
std::vector<Tensor> with_kept(std::vector<Tensor> these, Node& n);

/// All nodes that lead to any of ys, each after its inputs: an edge always goes to a smaller depth.
std::vector<Node*> nodes_by_depth(std::span<const Tensor> ys);

}  // namespace retrace::detail

#pragma once

#include <span>
#include <vector>

#include "../tensor/tensor.hpp"

namespace retrace {

/// One tensor or several: a tensor, a braced list, a vector or a span of them.
struct TensorList : std::vector<Tensor> {
  TensorList() = default;
  TensorList(const Tensor& one) : vector{one} {}
  TensorList(std::initializer_list<Tensor> several) : vector(several) {}
  template <class List>
  requires std::is_convertible_v<const List&, std::span<const Tensor>> TensorList(
      const List& several)
      : vector(several.begin(), several.end()) {}
};

/// Options of `grad`.
struct GradOptions {
  /// The cotangent of y, with its shape and dtype; one for each y if there are several. May be left
  /// out or undefined where y has one element, which stands for 1.
  TensorList cotangent = {};
  bool create_graph = false;  ///< record the gradients, so that they can be differentiated again
  bool retain_graph = false;  ///< keep the graph of y; create_graph implies it
  /// Gives zeros for an x that no y depends on, and lets a y that is a constant add nothing.
  /// Without it `grad` throws Error for either.
  bool allow_unused = false;
};
/// The gradients of y (times the cotangent) with respect to each of xs, leaves or results, in the
/// x's shape and dtype; `.grad()` stays untouched. Of several ys, which may be parts of each
/// other's graphs, the sum of their gradients in one walk. Gradients may share elements with each
/// other and with the cotangent and have strides: `clone` what you change in place. Throws Error if
/// cotangents do not fit the ys in number, shape or dtype, an x does not require a gradient, or as
/// `Tensor::backward` does.
std::vector<Tensor> grad(const TensorList& y, const TensorList& xs,
                         const GradOptions& options = {});

}  // namespace retrace

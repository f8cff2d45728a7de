#pragma once

#include <span>
#include <vector>

#include "../tensor/tensor.hpp"

namespace retrace {

/// Options of `grad`.
struct GradOptions {
  Tensor cotangent = {};      ///< of y; may be left out when y has one element
  bool create_graph = false;  ///< record the gradients, so that they can be differentiated again
  bool retain_graph = false;  ///< keep the graph of y; create_graph implies it
  bool allow_unused = false;  ///< zeros for an x that y does not depend on (a constant on none);
                              ///< else that is an Error
};
/// The gradients of y (times the cotangent) with respect to each of xs, leaves or results;
/// `.grad()` stays untouched. They may share elements with each other and with the cotangent and
/// have strides: `clone` what you change in place.
std::vector<Tensor> grad(const Tensor& y, std::span<const Tensor> xs,
                         const GradOptions& options = {});
inline std::vector<Tensor> grad(const Tensor& y, std::initializer_list<Tensor> xs,
                                const GradOptions& options = {}) {
  return grad(y, std::span(xs.begin(), xs.size()), options);
}

}  // namespace retrace

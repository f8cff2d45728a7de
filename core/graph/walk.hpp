#pragma once

#include <span>
#include <vector>

#include "../tensor/tensor.hpp"

namespace retrace {

/// One node of a recorded graph as `recorded_graph` lists it.
struct GraphNode {
  const char* op;  ///< "leaf" for leaves
  Shape shape;
  DType dtype;
  /// The node of an operation with several outputs, which follow as nodes of their own.
  bool many_outputs;
  std::vector<std::size_t> inputs;  ///< indices in the list, smaller than the node's own
  const detail::Node* identity;     ///< equals Tensor::get() of a handle to it
};
/// The nodes that y was computed from, each after its inputs, y last. Inputs that need no gradient
/// are not recorded and so not listed.
std::vector<GraphNode> recorded_graph(const Tensor& y);

/// Tensors and graph nodes made in this thread minus those that died in it; for tests of leaks.
std::int64_t live_nodes();

namespace detail {
/// All nodes that any of ys was computed from, each after its inputs, which have smaller depths.
std::vector<Node*> nodes_by_depth(std::span<const Tensor> ys);
}  // namespace detail

}  // namespace retrace

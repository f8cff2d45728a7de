#pragma once

#include "graph.hpp"

/// Private to the engine.
namespace retrace::detail {

/// An op of several outputs is one node without a value; each output is a node whose only rule hands its cotangent to
/// place `index` there.
struct OutputRule : Rule {
  std::size_t index;
};
extern const RuleType output_rule;

/// All nodes that lead to y, each after its inputs: an edge always goes to a smaller depth.
std::vector<Node*> nodes_by_depth(Node& y);

}  // namespace retrace::detail

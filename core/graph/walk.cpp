#include "walk.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "rule.hpp"

namespace retrace {

std::vector<GraphNode> recorded_graph(const Tensor& y) {
  using detail::Node;
  std::unordered_map<const Node*, std::size_t> place;
  std::vector<GraphNode> list;
  for (Node* n : detail::nodes_by_depth({&y, 1})) {
    GraphNode entry{n->op ? n->op : "leaf",          n->shape, n->dtype,
                    n->outputs > 0 && !n->is_output, {},       n};
    detail::for_each_input(*n, [&](Node& input) { entry.inputs.push_back(place.at(&input)); });
    place.emplace(n, list.size());
    list.push_back(std::move(entry));
  }
  return list;
}

std::vector<detail::Node*> detail::nodes_by_depth(std::span<const Tensor> ys) {
  std::vector<Node*> nodes;
  std::unordered_set<const Node*> seen;
  const auto add = [&](Node& n) {
    if (seen.insert(&n).second) nodes.push_back(&n);
  };
  for (const Tensor& y : ys) add(y.node());
  for (std::size_t i = 0; i < nodes.size(); ++i) for_each_input(*nodes[i], add);
  std::stable_sort(nodes.begin(), nodes.end(),
                   [](const Node* a, const Node* b) { return a->depth < b->depth; });
  return nodes;
}

std::int64_t live_nodes() { return detail::this_thread.live; }

}  // namespace retrace

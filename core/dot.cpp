#include "dot.hpp"

#include "graph.hpp"

namespace retrace {

std::string to_dot(const Tensor& y, const Parameters& names) {
  std::string out = "digraph retrace {\n  rankdir=BT;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n";
  const std::vector<GraphNode> nodes = recorded_graph(y);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const GraphNode& n = nodes[i];
    const bool is_leaf = std::string_view(n.op) == "leaf";
    std::string label = n.op;
    for (const Parameter& p : names)
      if (is_leaf && p.value.get() == n.identity) label = p.name;
    std::string escaped;
    for (const char c : label) escaped += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    if (!n.many_outputs) escaped += fmt::format("\\n{}", n.shape);
    out += fmt::format("  n{} [label=\"{}\"{}];\n", i, escaped, is_leaf ? ", style=filled, fillcolor=lightgrey" : "");
    for (const std::size_t input : n.inputs) out += fmt::format("  n{} -> n{};\n", input, i);
  }
  return out + "}\n";
}

}  // namespace retrace

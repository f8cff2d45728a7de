#include "dot.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "../graph/walk.hpp"

namespace retrace {
namespace {

bool is_leaf(const GraphNode& n) { return std::string_view(n.op) == "leaf"; }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  return out;
}

std::string unfolded(const std::vector<GraphNode>& nodes, const Parameters& names) {
  std::unordered_map<const detail::Node*, std::string_view> name_of;
  for (const Parameter& p : names) name_of.emplace(p.value.get(), p.name);
  std::string out;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const GraphNode& n = nodes[i];
    const auto name = name_of.find(n.identity);
    std::string label = is_leaf(n) && name != name_of.end() ? escaped(name->second) : n.op;
    if (!n.many_outputs) label += fmt::format("\\n{}", n.shape);
    out += fmt::format("  n{} [label=\"{}\"{}];\n", i, label,
                       is_leaf(n) ? ", style=filled, fillcolor=lightgrey" : "");
    for (const std::size_t input : n.inputs) out += fmt::format("  n{} -> n{};\n", input, i);
  }
  return out;
}

/// Nodes that are drawn as one.
struct Box {
  std::string title, parameters = {};
  std::map<std::string_view, int> counts = {};  // of each op
  std::size_t last = 0;                         // of the nodes that others get
};

std::string folded(const std::vector<GraphNode>& nodes, const Parameters& names) {
  constexpr std::size_t inputs = 0, loss = 1;
  std::vector<Box> boxes{{"inputs"}, {"loss"}};
  std::map<std::string, std::size_t> layers;
  std::unordered_map<const detail::Node*, std::size_t> box_of_parameter;
  for (const auto& [name, value] : names) {
    const std::size_t dot = name.rfind('.');
    const std::string layer = name.substr(0, dot == std::string::npos ? 0 : dot);
    const auto [found, is_new] = layers.emplace(layer, boxes.size());
    if (is_new) boxes.push_back({layer});
    std::string& list = boxes[found->second].parameters;
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", name.substr(dot + 1), value.shape());
    box_of_parameter[value.get()] = found->second;
  }
  const auto is_parameter = [&](std::size_t i) {
    return is_leaf(nodes[i]) && box_of_parameter.count(nodes[i].identity);
  };

  std::vector<bool> leads_to_parameter(nodes.size(), nodes.back().shape.size() != 1);
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const std::vector<std::size_t>& from = nodes[i].inputs;
    if (std::ranges::any_of(from, is_parameter)) leads_to_parameter[i] = true;
    if (leads_to_parameter[i])
      for (const std::size_t input : from) leads_to_parameter[input] = true;
  }

  std::vector<std::size_t> box_of(nodes.size(), inputs);
  std::set<std::string> edges;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const GraphNode& n = nodes[i];
    std::size_t& box = box_of[i];
    if (is_parameter(i)) {
      box = box_of_parameter[n.identity];
      continue;
    }
    if (!n.inputs.empty()) box = box_of[std::ranges::max(n.inputs)];
    for (const std::size_t input : n.inputs)
      if (is_parameter(input)) box = box_of[input];
    if (!leads_to_parameter[i] && !is_leaf(n) && !boxes[box].counts.contains(n.op)) box = loss;
    const bool is_one_of_many = n.inputs.size() == 1 && nodes[n.inputs[0]].many_outputs;
    if (!is_one_of_many) ++boxes[box].counts[n.op];
    for (const std::size_t input : n.inputs) {
      if (box_of[input] == box) continue;
      edges.insert(fmt::format("  n{} -> n{};\n", box_of[input], box));
      boxes[box_of[input]].last = std::max(boxes[box_of[input]].last, input);
    }
  }
  boxes[box_of.back()].last = nodes.size() - 1;

  std::string out;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Box& box = boxes[i];
    if (std::ranges::find(box_of, i) == box_of.end()) continue;  // nothing of it is in the graph
    std::string operations, label;
    for (const auto& [op, count] : box.counts)
      operations += fmt::format("{}{} {}", operations.empty() ? "" : ", ", count, op);
    for (const std::string& line : {box.title, box.parameters, operations})
      if (!line.empty()) label += escaped(line) + "\\n";
    out += fmt::format("  n{} [label=\"{}\u2192 {}\"{}];\n", i, label, nodes[box.last].shape,
                       i > loss ? ", style=\"rounded,filled\", fillcolor=lightgrey" : "");
  }
  for (const std::string& edge : edges) out += edge;
  return out;
}

}  // namespace

std::string to_dot(const Tensor& y, const Parameters& names, DotOptions options) {
  const std::vector<GraphNode> nodes = recorded_graph(y);
  return "digraph retrace {\n  rankdir=BT;\n  node [shape=box, style=rounded, "
         "fontname=\"sans-serif\"];\n" +
         (options.fold ? folded(nodes, names) : unfolded(nodes, names)) + "}\n";
}

}  // namespace retrace

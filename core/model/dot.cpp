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

/// The graph with a box for each layer, that is for the parameters whose names begin alike, and
/// what is computed from them.
class Folded {
 public:
  Folded(const std::vector<GraphNode>& nodes, const Parameters& names) : nodes_(nodes) {
    for (const Parameter& p : names) add(p);
    const std::vector<bool> before_parameter = leading_to_parameters();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      box_of_[i] = box_for(i, before_parameter[i]);
      if (!is_parameter(i)) draw_into_box(i);
    }
    boxes_[box_of_.back()].last = nodes.size() - 1;
  }

  std::string text() const {
    std::string out;
    for (std::size_t i = 0; i < boxes_.size(); ++i)
      if (std::ranges::find(box_of_, i) != box_of_.end())
        out += fmt::format("  n{} [label=\"{}\u2192 {}\"{}];\n", i, label_of(boxes_[i]),
                           nodes_[boxes_[i].last].shape,
                           i > loss ? ", style=\"rounded,filled\", fillcolor=lightgrey" : "");
    for (const std::string& edge : edges_) out += edge;
    return out;
  }

 private:
  struct Box {
    std::string title, parameters = {};
    std::map<std::string_view, int> counts = {};  // of each op
    std::size_t last = 0;                         // of its nodes that other boxes take
  };
  enum : std::size_t { inputs, loss };  // the boxes that are no layer

  void add(const Parameter& p) {
    const std::size_t dot = p.name.rfind('.');
    const auto [found, is_new] =
        layers_.emplace(p.name.substr(0, dot == std::string::npos ? 0 : dot), boxes_.size());
    if (is_new) boxes_.push_back({found->first});
    std::string& list = boxes_[found->second].parameters;
    list +=
        fmt::format("{}{} {}", list.empty() ? "" : ", ", p.name.substr(dot + 1), p.value.shape());
    box_of_parameter_[p.value.get()] = found->second;
  }

  bool is_parameter(std::size_t i) const {
    return is_leaf(nodes_[i]) && box_of_parameter_.contains(nodes_[i].identity);
  }

  /// Of each node, whether it takes a parameter or something computed from it does. The rest is the
  /// loss, unless the graph ends in more than one number.
  std::vector<bool> leading_to_parameters() const {
    std::vector<bool> leads(nodes_.size(), nodes_.back().shape.size() != 1);
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      const std::vector<std::size_t>& from = nodes_[i].inputs;
      leads[i] = leads[i] || std::ranges::any_of(from, [&](auto k) { return is_parameter(k); });
      if (leads[i])
        for (const std::size_t input : from) leads[input] = true;
    }
    return leads;
  }

  /// The box of a parameter that the node takes, else that of its latest operand, or the loss.
  std::size_t box_for(std::size_t i, bool before_parameter) const {
    const GraphNode& n = nodes_[i];
    if (is_parameter(i)) return box_of_parameter_.at(n.identity);
    std::size_t box = n.inputs.empty() ? inputs : box_of_[std::ranges::max(n.inputs)];
    for (const std::size_t input : n.inputs)
      if (is_parameter(input)) box = box_of_[input];
    const bool is_of_layer = before_parameter || is_leaf(n) || boxes_[box].counts.contains(n.op);
    return is_of_layer ? box : loss;
  }

  void draw_into_box(std::size_t i) {
    const GraphNode& n = nodes_[i];
    const std::size_t box = box_of_[i];
    const bool is_one_of_many = n.inputs.size() == 1 && nodes_[n.inputs[0]].many_outputs;
    if (!is_one_of_many) ++boxes_[box].counts[n.op];
    for (const std::size_t input : n.inputs) {
      if (box_of_[input] == box) continue;
      edges_.insert(fmt::format("  n{} -> n{};\n", box_of_[input], box));
      boxes_[box_of_[input]].last = std::max(boxes_[box_of_[input]].last, input);
    }
  }

  static std::string label_of(const Box& box) {
    std::string operations, label;
    for (const auto& [op, count] : box.counts)
      operations += fmt::format("{}{} {}", operations.empty() ? "" : ", ", count, op);
    for (const std::string& line : {box.title, box.parameters, operations})
      if (!line.empty()) label += escaped(line) + "\\n";
    return label;
  }

  const std::vector<GraphNode>& nodes_;
  std::vector<Box> boxes_{{"inputs"}, {"loss"}};
  std::map<std::string, std::size_t> layers_;  // the box of each
  std::unordered_map<const detail::Node*, std::size_t> box_of_parameter_;
  std::vector<std::size_t> box_of_ = std::vector<std::size_t>(nodes_.size(), inputs);
  std::set<std::string> edges_;
};

}  // namespace

std::string to_dot(const Tensor& y, const Parameters& names, DotOptions options) {
  const std::vector<GraphNode> nodes = recorded_graph(y);
  return "digraph retrace {\n  rankdir=BT;\n  node [shape=box, style=rounded, "
         "fontname=\"sans-serif\"];\n" +
         (options.fold ? Folded(nodes, names).text() : unfolded(nodes, names)) + "}\n";
}

}  // namespace retrace

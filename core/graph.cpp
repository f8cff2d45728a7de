#include "graph.hpp"

#include <unordered_map>

#include "engine.hpp"

namespace retrace {
namespace detail {
namespace {

constinit thread_local Node* dying = nullptr;
constinit thread_local bool freeing = false;

}  // namespace

void Node::last_handle_gone() noexcept {
  handles.store(0, std::memory_order_relaxed);
  if (storage && !keeps_value) {
    std::exchange(storage, nullptr)->release();
    data = nullptr;
  }
  release();
}

void Node::free() noexcept {
  if (storage) storage->release();
  this->~Node();
  pool_free(this, sizeof(Node));
  --live;
}

void Node::destroy() noexcept {
  if (is_leaf() && link) std::exchange(link, nullptr)->release_handle();
  if (!record && !is_output) return free();
  link = std::exchange(dying, this);
  if (freeing) return;  // the loop below, further up the stack, will come to it
  freeing = true;
  while (Node* n = dying) {
    dying = n->link;
    if (n->record) RecordDeleter()(n->record);
    if (n->is_output) n->bundle->release();
    n->free();
  }
  freeing = false;
}

Tensor handle_to(Node& node) {
  if (node.handles.load(std::memory_order_relaxed) == 0) {
    node.acquire();
    node.handles.store(1, std::memory_order_relaxed);
  } else {
    node.acquire_handle();
  }
  return Tensor(&node);
}

void Rules::reserve(std::size_t bytes) {
  record.reset(::new (pool_allocate(sizeof(Record) + bytes)) Record{bytes});
  end = record->rules();
}

void RecordDeleter::operator()(Record* record) const noexcept {
  record->for_each([](Rule& rule) {
    std::destroy_n(saved_of(rule), rule.type->kept);
    if (rule.input) rule.input->release();
  });
  pool_free(record, sizeof(Record) + record->bytes);
}

namespace {

void make_result(const char* op, Node& n, std::uint32_t depth) {
  n.op = op;
  n.requires_grad = true;
  n.depth = depth;
}

void make_result(const char* op, Node& n, Rules& rules) {
  make_result(op, n, rules.depth);
  n.keeps_value = rules.want_output;
  if (n.storage) rules.record->output_version = n.storage->version.load(std::memory_order_relaxed);
  n.record = rules.record.release();
}

}  // namespace

void attach_slowly(const char* op, Tensor& value, Rules& rules) {
  // The value function may hand back an operand, which must not become its own result.
  if (!value.node().is_new()) value = value.detach();
  if (rules.record) make_result(op, value.node(), rules);
}

void attach(const char* op, std::vector<Tensor>& values, Rules& rules) {
  Rules none;
  for (Tensor& value : values) attach(op, value, none);
  if (!rules.record || values.empty()) return;
  const Tensor all(Node::create({}, values[0].dtype()));
  all.node().outputs = static_cast<std::uint32_t>(values.size());
  make_result(op, all.node(), rules);
  all.node().refs += all.node().outputs;
  for (std::uint32_t i = 0; i < all.node().outputs; ++i) {
    Node& n = values[i].node();
    make_result(op, n, rules.depth + 1);
    n.is_output = true;
    n.bundle = all.get();
    n.outputs = i;
  }
}

}  // namespace detail

std::vector<GraphNode> recorded_graph(const Tensor& y) {
  using detail::Node;
  const std::vector<Node*> nodes = detail::nodes_by_depth(y.node());
  std::unordered_map<const Node*, std::size_t> place;
  std::vector<GraphNode> list;
  for (Node* n : nodes) {
    GraphNode entry{n->op ? n->op : "leaf", n->shape, n->dtype, n->outputs > 0 && !n->is_output, {}, n};
    detail::for_each_input(*n, [&](Node& input) { entry.inputs.push_back(place.at(&input)); });
    place.emplace(n, list.size());
    list.push_back(std::move(entry));
  }
  return list;
}

std::vector<detail::Node*> detail::nodes_by_depth(Node& y) {
  std::vector<Node*> nodes{&y};
  std::unordered_map<const Node*, bool> seen{{&y, true}};
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for_each_input(*nodes[i], [&](Node& input) {
      if (seen.emplace(&input, true).second) nodes.push_back(&input);
    });
  std::stable_sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->depth < b->depth; });
  return nodes;
}

std::int64_t live_nodes() { return detail::live; }

}  // namespace retrace

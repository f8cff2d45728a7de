#include "record.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "../backward/pass.hpp"

namespace retrace {
namespace detail {

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
  --this_thread.live;
  pool_free(this, sizeof(Node));
}

void Node::destroy() noexcept {
  if (is_leaf() && link) std::exchange(link, nullptr)->release_handle();
  if (!rules.first && !is_output) return free();
  destroy_with_rules();
}

void Node::destroy_with_rules() noexcept {
  Node**& dying = this_thread.dying;
  if (dying) {  // the loop below, further up the stack, will come to it
    link = std::exchange(*dying, this);
    return;
  }
  Node* list = this;
  dying = &list;
  link = nullptr;
  while (Node* n = list) {
    list = n->link;
    drop_rules(*n);
    if (n->is_output) n->bundle->release();
    n->free();
  }
  dying = nullptr;
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

namespace {

void destroy(const RuleList& rules) noexcept {
  for_each(rules, [](Rule& rule) {
    std::destroy_n(saved_of(rule), rule.type->kept);
    if (rule.type->destroy) rule.type->destroy(rule);
    if (rule.input) rule.input->release();
  });
}

void make_result(const char* op, Node& n, std::uint32_t depth) {
  n.op = op;
  n.requires_grad = true;
  n.segment_depth = this_thread.segment_depth;
  n.depth = depth;
}

}  // namespace

void drop_rules(Node& n) noexcept {
  const RuleList rules = std::exchange(n.rules, {});
  destroy(rules);
  if (rules.first && rules.first != n.room) pool_free(rules.first, rules.bytes);
}

void Rules::reserve(std::size_t bytes) {
  reserved_ = static_cast<std::uint32_t>(bytes);
  list_.first = bytes <= sizeof(room_) ? room_ : static_cast<std::byte*>(pool_allocate(bytes));
}

void Rules::drop() noexcept {
  destroy(list_);
  if (list_.first != room_) pool_free(list_.first, reserved_);
}

void Rules::move_to(const char* op, Node& n) {
  make_result(op, n, depth_);
  n.keeps_value = want_output_;
  if (n.storage) n.rules.output_version = n.storage->version.load(std::memory_order_relaxed);
  n.rules.bytes = std::exchange(list_.bytes, 0);
  n.rules.first = std::exchange(list_.first, nullptr);
  if (n.rules.first != room_) return;
  std::memcpy(n.room, room_, sizeof(room_));  // a tensor is a pointer, which may lie anywhere
  n.rules.first = n.room;
}

void attach_slowly(const char* op, Tensor& value, Rules& rules) {
  require(value.defined(), "{}: its value is an undefined tensor", op);
  // The value function may hand back an operand, which must not become its own result.
  if (!value.node().is_new()) value = value.detach();
  if (!rules.empty()) rules.move_to(op, value.node());
}

void check_versions(const Node& n, Rule& rule) {
  const auto changed = [&](const char* what, const Shape& shape) {
    fail("backward of '{}' {}: {} {} was changed in place after the forward pass; clone() it before the change", n.op,
         n.shape, what, shape);
  };
  for (const Saved& s : std::span(saved_of(rule), rule.type->kept))
    if (s.changed()) changed("an operand", s.value.shape());
  if (rule.type->wants_output && n.storage->version.load(std::memory_order_relaxed) != n.rules.output_version)
    changed("its result", n.shape);
}

const char* located(const char* op, const char* file, int line) {
  static std::mutex mutex;
  static auto& texts = *new std::set<std::string>;  // never freed: a graph may be the last to go
  const char* slash = std::strrchr(file, '/');
  const std::lock_guard lock(mutex);
  return texts.insert(fmt::format("{} at {}:{}", op, slash ? slash + 1 : file, line)).first->c_str();
}

void require_finite(const char* op, const Tensor& value, std::span<const Tensor> operands) {
  const ModeScope not_here(this_thread.detecting_anomalies, false);
  const auto elements_of = [](const Tensor& x) { return x.detach().to(f64).to_vector<double>(); };
  const std::vector<double> elements = elements_of(value);
  const auto kind = [](double v) { return std::isnan(v) ? 1 : std::isinf(v) ? 2 : 0; };
  if (std::ranges::none_of(elements, kind)) return;
  int given = 0;
  for (const Tensor& x : operands)
    if (x.defined())
      for (const double v : elements_of(x)) given |= kind(v);
  const auto at = std::ranges::find_if(elements, [&](double v) { return kind(v) & ~given; });
  if (at == elements.end()) return;
  std::string inputs;
  for_each_input(value.node(),
                 [&](const Node& n) { inputs += fmt::format("{}{}", inputs.empty() ? " from " : ", ", n.shape); });
  Shape place = value.shape();
  for (int i = 0; i < place.rank(); ++i)
    place[i] = (at - elements.begin()) / row_major(value.shape())[static_cast<unsigned>(i)] % place[i];
  fail("'{}' {} made {} at {}{}", op, value.shape(), std::isnan(*at) ? "a NaN" : "an infinity", place, inputs);
}

std::vector<Tensor> with_kept(std::vector<Tensor> all, Node& n) {
  for_each(n.rules, [&](Rule& rule) {
    for (const Saved& s : std::span(saved_of(rule), rule.type->kept)) all.push_back(s.value);
  });
  if (n.keeps_value) all.push_back(handle_to(n));
  return all;
}

void attach(const char* op, std::vector<Tensor>& values, Rules& rules) {
  Rules none;
  none.search = std::move(rules.search);
  for (Tensor& value : values) attach(op, value, none);
  if (rules.empty() || values.empty()) return;
  const Tensor all(Node::create({}, values[0].dtype()));
  all.node().outputs = static_cast<std::uint32_t>(values.size());
  rules.move_to(op, all.node());
  all.node().refs += all.node().outputs;
  for (std::uint32_t i = 0; i < all.node().outputs; ++i) {
    Node& n = values[i].node();
    make_result(op, n, rules.depth() + 1);
    n.is_output = true;
    n.bundle = all.get();
    n.outputs = i;
  }
}

}  // namespace detail

std::vector<GraphNode> recorded_graph(const Tensor& y) {
  using detail::Node;
  const std::vector<Node*> nodes = detail::nodes_by_depth({&y, 1});
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

std::vector<detail::Node*> detail::nodes_by_depth(std::span<const Tensor> ys) {
  std::vector<Node*> nodes;
  std::unordered_set<const Node*> seen;
  const auto add = [&](Node& n) {
    if (seen.insert(&n).second) nodes.push_back(&n);
  };
  for (const Tensor& y : ys) add(y.node());
  for (std::size_t i = 0; i < nodes.size(); ++i) for_each_input(*nodes[i], add);
  std::stable_sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->depth < b->depth; });
  return nodes;
}

std::int64_t live_nodes() { return detail::this_thread.live; }

}  // namespace retrace

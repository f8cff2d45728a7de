#include "engine.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "ops/ops.hpp"

namespace retrace {
namespace detail {
namespace {

/// Takes the rules off every node below `first` without asking for memory or stack, so that it can run while an
/// exception unwinds.
void consume_all(Node& first) noexcept {
  Node* list = nullptr;
  const auto push = [&](Node& n) {
    if (n.is_leaf() || n.consumed) return;
    n.consumed = true;
    n.acquire();
    n.link = std::exchange(list, &n);
  };
  push(first);
  while (Node* n = list) {
    list = std::exchange(n->link, nullptr);
    const RecordPtr record(std::exchange(n->record, nullptr));
    record->for_each([&](Rule& rule) { push(*rule.input); });
    n->release();
  }
}

/// Owner of one reference to a node.
class NodeRef {
 public:
  explicit NodeRef(Node& n) : node_(&n) { n.acquire(); }
  NodeRef(NodeRef&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  NodeRef& operator=(NodeRef&& other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodeRef() {
    if (node_) node_->release();
  }
  Node& operator*() const { return *node_; }
  Node* operator->() const { return node_; }
  Node* get() const { return node_; }

 private:
  Node* node_;
};

/// What has accumulated for one node; several tensors for a node of several outputs.
struct Slot {
  NodeRef node;
  Tensor cotangent;
  std::vector<Tensor> of_outputs;
};

struct PassOptions {
  bool create_graph, retain_graph;
};

/// One walk from a result to what it depends on, every node after all that use it.
class Pass {
 public:
  /// With `needed`, only nodes in it are visited.
  Pass(PassOptions options, const std::unordered_map<const Node*, bool>* needed) : options_(options), needed_(needed) {}
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass();

  void run(Node& y, Tensor cotangent);
  /// The cotangent of an inner node is handed to `capture` when it is complete.
  template <class Capture>
  void run(Node& y, Tensor cotangent, Capture&& capture);
  std::vector<Slot>& leaves() { return leaves_; }

 private:
  Slot& slot_for(Node& node);
  Slot& leaf_slot(Node& leaf);
  Slot pop();
  void propagate(Slot slot);
  void apply(Rule& rule, std::span<Tensor> cotangents, Node& from);
  void add(Slot& slot, Contribution contribution);
  void add(Slot& slot, Tensor t);
  Tensor& own_accumulator(Slot& slot);
  void check_versions(const Node& n, const Record& record, Rule& rule) const;

  PassOptions options_;
  const std::unordered_map<const Node*, bool>* needed_;
  std::vector<std::optional<Slot>> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> heap_;  // (depth, place in slots_)
  std::vector<Slot> leaves_;
  std::unordered_map<const Node*, std::size_t> leaf_places_;  // not on the leaf: several threads may share one
};

Pass::~Pass() {
  for (auto& slot : slots_)
    if (slot) {
      slot->node->slot = 0;
      if (!options_.retain_graph) consume_all(*slot->node);  // only after a failure are there any left
    }
}

Slot& Pass::leaf_slot(Node& leaf) {
  const auto [at, is_new] = leaf_places_.try_emplace(&leaf, leaves_.size());
  if (is_new) leaves_.push_back({NodeRef(leaf), {}, {}});
  return leaves_[at->second];
}

Slot& Pass::slot_for(Node& node) {
  if (node.is_leaf()) return leaf_slot(node);
  if (node.slot == 0) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    heap_.emplace_back(node.depth, free_.back());
    std::push_heap(heap_.begin(), heap_.end());
    slots_[free_.back()].emplace(Slot{NodeRef(node), {}, std::vector<Tensor>(node.outputs)});
    node.slot = free_.back() + 1;
    free_.pop_back();
  }
  return *slots_[node.slot - 1];
}

Slot Pass::pop() {
  std::pop_heap(heap_.begin(), heap_.end());
  const std::uint32_t place = heap_.back().second;
  heap_.pop_back();
  Slot slot = std::move(*slots_[place]);
  slots_[place].reset();
  free_.push_back(place);
  slot.node->slot = 0;
  return slot;
}

template <class Capture>
void Pass::run(Node& y, Tensor cotangent, Capture&& capture) {
  const ModeScope mode(recording, options_.create_graph);
  slot_for(y).cotangent = std::move(cotangent);
  while (!heap_.empty()) {
    Slot slot = pop();
    capture(*slot.node, slot.cotangent);
    propagate(std::move(slot));
  }
}

/// The rules of a node, taken off it for good unless the graph is retained.
void Pass::propagate(Slot slot) {
  Node& n = *slot.node;
  if (n.consumed)
    fail(
        "backward: the graph of '{}' {} was consumed by an earlier backward; pass {{.retain_graph = true}} to that "
        "one, or detach() the state that is carried on",
        n.op, n.shape);
  const bool several = n.outputs > 0;
  // A failure below must leave the inputs of this node consumed too.
  struct Consume {
    Node* node;
    ~Consume() {
      if (node) consume_all(*node);
    }
  } on_failure{options_.retain_graph ? nullptr : &n};
  std::uint32_t left = n.record->count;
  n.record->for_each([&](Rule& rule) {
    --left;
    if (needed_ && !needed_->contains(rule.input)) return;
    check_versions(n, *n.record, rule);
    if (rule.type == &output_rule) {
      slot_for(*rule.input).of_outputs[static_cast<OutputRule&>(rule).index] = slot.cotangent;
      return;
    }
    Tensor dy = left == 0 ? std::move(slot.cotangent) : slot.cotangent;
    apply(rule, several ? std::span<Tensor>(slot.of_outputs) : std::span<Tensor>(&dy, 1), n);
  });
  if (!options_.retain_graph) {
    on_failure.node = nullptr;
    n.consumed = true;
    RecordDeleter()(std::exchange(n.record, nullptr));
  }
}

void Pass::check_versions(const Node& n, const Record& record, Rule& rule) const {
  const auto changed = [&](const char* what, const Shape& shape) {
    fail("backward of '{}' {}: {} {} was changed in place after the forward pass; clone() it before the change", n.op,
         n.shape, what, shape);
  };
  const Saved* saved = rule.type->saved(rule);
  for (std::size_t i = 0; i < rule.type->kept; ++i)
    if (saved[i].value.node().storage->version.load(std::memory_order_relaxed) != saved[i].version)
      changed("an operand", saved[i].value.shape());
  if (rule.type->wants_output && n.storage->version.load(std::memory_order_relaxed) != record.output_version)
    changed("its result", n.shape);
}

void Pass::apply(Rule& rule, std::span<Tensor> cotangents, Node& from) {
  try {
    Contribution c = rule.type->apply(rule, cotangents, from, !options_.retain_graph);
    add(slot_for(*rule.input), std::move(c));
  } catch (const Error& e) {
    throw Error(fmt::format("backward of '{}' {}: {}", from.op, from.shape, e.what()));
  }
}

/// All accumulation: what a rule returned goes into what is there.
void Pass::add(Slot& slot, Contribution contribution) {
  const Shape& shape = slot.node->shape;
  if (auto* t = std::get_if<Tensor>(&contribution)) {
    require(t->defined(), "the rule for an input {} returned an undefined tensor", shape);
    require(t->dtype() == slot.node->dtype, "the rule for an input {} {} returned {}", shape, slot.node->dtype,
            t->dtype());
    return add(slot, sum_to(std::move(*t), shape));
  }
  if (auto* p = std::get_if<Product>(&contribution)) {
    if (options_.create_graph || !slot.cotangent.defined()) return add(slot, sum_to(matmul(p->a, p->b), shape));
    return add_product(own_accumulator(slot), p->a, p->b);
  }
  if (auto* p = std::get_if<Placed>(&contribution)) {
    if (options_.create_graph) return add(slot, place(p->value, p->region, shape));
    return add_placed(own_accumulator(slot), p->value, p->region);
  }
  if (auto* p = std::get_if<Scattered>(&contribution)) {
    if (options_.create_graph) return add(slot, scatter_add(p->value, p->index, p->axis, shape));
    return add_scattered(own_accumulator(slot), p->value, p->index, p->axis);
  }
  const auto& p = std::get<ScatteredRows>(contribution);
  if (options_.create_graph) return add(slot, scatter_rows(p.value, p.index, shape));
  add_rows(own_accumulator(slot), p.value, p.index);
}

void Pass::add(Slot& slot, Tensor t) {
  slot.cotangent = slot.cotangent.defined() ? std::move(slot.cotangent) + std::move(t) : std::move(t);
}

/// A row-major accumulator that nobody else sees.
Tensor& Pass::own_accumulator(Slot& slot) {
  Tensor& c = slot.cotangent;
  if (!c.defined())
    c = zeros(slot.node->shape, slot.node->dtype);
  else if (!c.expiring())
    c = c.clone();
  return c;
}

Tensor initial_cotangent(const char* what, const Tensor& y, const Tensor& given) {
  require(y.requires_grad(), "{}: '{}' {} was not computed from a leaf that requires a gradient", what, y.op(),
          y.shape());
  if (given.defined()) {
    require(given.shape() == y.shape() && given.dtype() == y.dtype(), "{}: the cotangent is {} {}, but '{}' is {} {}",
            what, given.shape(), given.dtype(), y.op(), y.shape(), y.dtype());
    return given;
  }
  require(y.size() == 1, "{}: '{}' has shape {}, not one element; give the cotangent or reduce it, say with sum()",
          what, y.op(), y.shape());
  return ones(y.shape(), y.dtype());
}

}  // namespace

void backward(const Tensor& y, const Tensor& cotangent, BackwardOptions options) {
  Tensor dy = initial_cotangent("backward", y, cotangent).detach();
  Pass pass({.create_graph = false, .retain_graph = options.retain_graph}, nullptr);
  pass.run(y.node(), std::move(dy), [](Node&, const Tensor&) {});
  // Everything that can fail comes first; then the gradients change hands.
  for (Slot& leaf : pass.leaves()) {
    Tensor& g = leaf.cotangent;
    if (const Tensor before = handle_to(*leaf.node).grad(); before.defined())
      g = no_grad([&] { return before + std::move(g); });
    else if (!g.expiring())
      g = g.detach().clone();
  }
  for (Slot& leaf : pass.leaves()) handle_to(*leaf.node).set_grad(std::move(leaf.cotangent));
}

namespace {

/// The nodes on a way from y to one of xs.
std::unordered_map<const Node*, bool> nodes_between(const Tensor& y, std::span<const Tensor> xs) {
  std::unordered_map<const Node*, bool> needed;
  for (const Tensor& x : xs) needed.emplace(x.get(), true);
  for (Node* n : nodes_by_depth(y.node())) {
    bool leads_there = false;
    if (n->record) n->record->for_each([&](Rule& rule) { leads_there = leads_there || needed.contains(rule.input); });
    if (leads_there) needed.emplace(n, true);
  }
  return needed;
}

}  // namespace
}  // namespace detail

std::vector<Tensor> grad(const Tensor& y, std::span<const Tensor> xs, const GradOptions& options) {
  using detail::Node;
  for (std::size_t i = 0; i < xs.size(); ++i)
    require(xs[i].requires_grad(), "grad: input {} {} does not require a gradient", i, xs[i].shape());
  Tensor dy = detail::initial_cotangent("grad", y, options.cotangent);
  const auto needed = detail::nodes_between(y, xs);
  std::unordered_map<const Node*, Tensor> found;
  detail::Pass pass({options.create_graph, options.retain_graph || options.create_graph}, &needed);
  if (needed.contains(y.get()))
    pass.run(y.node(), std::move(dy), [&](Node& n, const Tensor& cotangent) {
      for (const Tensor& x : xs)
        if (x.get() == &n) found.insert_or_assign(&n, cotangent);
    });
  for (auto& leaf : pass.leaves()) found.insert_or_assign(leaf.node.get(), leaf.cotangent);

  std::vector<Tensor> gradients;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const auto at = found.find(xs[i].get());
    require(at != found.end() || options.allow_unused,
            "grad: '{}' {} does not depend on input {} {}; pass {{.allow_unused = true}} to get zeros", y.op(),
            y.shape(), i, xs[i].shape());
    gradients.push_back(at != found.end() ? at->second : zeros(xs[i].shape(), xs[i].dtype()));
  }
  return gradients;
}

void Tensor::backward(BackwardOptions options) const { detail::backward(*this, {}, options); }
void Tensor::backward(const Tensor& cotangent, BackwardOptions options) const {
  require(cotangent.defined(), "backward: the cotangent is undefined");
  detail::backward(*this, cotangent, options);
}

}  // namespace retrace

#include "pass.hpp"

#include <algorithm>

#include "../ops/ops.hpp"

namespace retrace::detail {
namespace {

/// Takes the rules off every node below `first` without asking for memory or stack, so that it can
/// run while an exception unwinds.
void consume_all(Node& first) noexcept {
  Node* list = nullptr;
  const auto push = [&](Node& n) {
    // With a slot, another pass is about to visit it.
    if (n.is_leaf() || n.consumed || (n.slot && !n.is_output)) return;
    n.consumed = true;
    n.acquire();
    n.next = std::exchange(list, &n);
  };
  push(first);
  while (Node* n = list) {
    list = std::exchange(n->next, nullptr);
    for_each_input(*n, push);
    drop_rules(*n);
    n->release();
  }
}

}  // namespace

void DeepestFirst::clear() {
  next_ = {};
  heap_.clear();
}

void fail_consumed(const Node& n) {
  fail(
      "backward: the graph of '{}' {} was consumed by an earlier backward; pass {{.retain_graph = "
      "true}} to that one, "
      "or detach() the state that is carried on",
      n.op, n.shape);
}

Pass::~Pass() {
  for (const auto& slot : work_.slots)
    if (Node* n = slot->node.get()) {  // a leaf, or what a failure left
      if (!n->is_leaf()) n->slot = nullptr;
      if (!options_.retain_graph) consume_all(*n);
      slot->close();
      work_.free.push_back(slot.get());
    }
  work_.waiting.clear();
  work_.leaves.clear();
  if (!this_thread.workspace && may_keep()) this_thread.workspace = new (std::nothrow) Workspace;
  if (this_thread.workspace) static_cast<Workspace&>(*this_thread.workspace) = std::move(work_);
}

/// A slot for the node that an edge leads to. Takes over the edge unless the graph is retained.
Slot* Pass::open_slot(NodeRef& edge) {
  if (work_.free.empty()) {
    work_.slots.push_back(std::make_unique<Slot>());
    work_.free.reserve(work_.slots.capacity());  // so that giving it back cannot fail
    work_.free.push_back(work_.slots.back().get());
  }
  Slot* slot = work_.free.back();
  work_.free.pop_back();
  slot->node = options_.retain_graph ? ref_to(*edge) : std::move(edge);
  return slot;
}

/// The slot of a leaf, by search: a mark on a leaf would not do for passes in several threads.
Slot& Pass::leaf_slot(NodeRef& edge) {
  constexpr std::size_t few = 16;
  std::vector<Slot*>& leaves = work_.leaves;
  for (std::size_t i = 0; i < std::min(leaves.size(), few); ++i)
    if (leaves[i]->node == edge) return *leaves[i];
  if (leaves.size() >= few) {
    const auto [at, is_new] = leaf_places_.try_emplace(edge.get(), leaves.size());
    if (!is_new) return *leaves[at->second];
  }
  leaves.push_back(open_slot(edge));
  return *leaves.back();
}

/// The slot of the node that an edge leads to; that of the bundle if it is one of several outputs.
Slot& Pass::slot_for(NodeRef& edge) {
  if (edge->is_leaf()) return leaf_slot(edge);
  Node& node = edge->is_output ? *edge->bundle : *edge;
  if (!node.slot) {
    NodeRef of_bundle = edge->is_output ? ref_to(node) : nullptr;
    Slot* slot = open_slot(of_bundle ? of_bundle : edge);
    if (node.outputs > 0) slot->of_outputs.resize(node.outputs);
    work_.waiting.push(*slot);
    slot->pass = this;
    node.slot = slot;
  }
  require(node.slot->pass == this, "'{}' {} is part of what an outer backward walks through",
          node.op, node.shape);
  return *node.slot;
}

void Pass::begin(const Tensor& y, Tensor cotangent) {
  NodeRef edge = ref_to(y.node());
  if (needs(edge)) add(edge, cotangent);
}

void Pass::run(const Function<void(const Slot&)>& complete) {
  while (Slot* slot = work_.waiting.pop()) {
    flush(*slot);
    if (complete) complete(*slot);
    if (leads_on(*slot->node)) propagate(*slot);
    // Until here a rule that walks back through its own result is refused.
    slot->node->slot = nullptr;
    slot->close();
    work_.free.push_back(slot);
  }
  for (Slot* leaf : work_.leaves) flush(*leaf);
}

/// Whether the walk goes on from a node: not from a bundle that only gathers cotangents of outputs
/// that are wanted themselves.
bool Pass::leads_on(const Node& n) const {
  return !needed_ || (needed_->contains(&n) && needed_->at(&n));
}

/// Runs the rules of a node and, unless the graph is retained, takes them off it for good.
void Pass::propagate(Slot& slot) {
  Node& n = *slot.node;
  if (n.consumed) fail_consumed(n);
  for_each(n.rules, [](const Rule& rule) { fetch(rule.input.get(), sizeof(Node)); });
  if (this_thread.detecting_anomalies)
    (given_ = with_kept(slot.of_outputs, n)).push_back(slot.cotangent);
  std::uint32_t left = n.rules.bytes;
  for_each(n.rules, [&](Rule& rule) {
    left -= static_cast<std::uint32_t>(rule.type->bytes);
    if (!needs(rule.input)) return;
    check_versions(n, rule);
    Tensor dy = left == 0 ? std::move(slot.cotangent) : slot.cotangent;
    const std::span<Tensor> cotangents =
        n.outputs > 0 ? std::span(slot.of_outputs) : std::span(&dy, 1);
    try {
      rule.type->apply(rule, cotangents, n, !options_.retain_graph, *this);
    } catch (const Error& e) {
      throw Error(fmt::format("backward of '{}' {}: {}", n.op, n.shape, e.what()));
    }
  });
  if (options_.retain_graph) return;
  n.consumed = true;
  drop_rules(n);
}

/// A row-major accumulator that nobody else sees.
Tensor& own(Tensor& accumulated, const Node& node) {
  if (!accumulated.defined())
    accumulated = zeros(node.shape, node.dtype);
  else if (!accumulated.expiring())
    accumulated = accumulated.clone();
  accumulated.node().storage->forget_packed();
  return accumulated;
}

/// Whether a product waits. Those of few columns by few rows, such as of each time step for a
/// weight, cost more time to add than to multiply; they wait until they are long enough together.
bool Pass::queue(Slot& slot, Product& product) {
  constexpr std::int64_t long_enough = 256;
  if (!slot.cotangent.defined()) return false;
  const std::int64_t inner = inner_size(product, slot.node->shape, slot.node->dtype);
  if (inner >= long_enough) return false;
  slot.products.push_back(std::move(product));
  slot.inner_size += inner;
  if (slot.inner_size >= long_enough) flush(slot);
  return true;
}

void Pass::flush(Slot& slot) {
  if (slot.products.empty()) return;
  add_to(own(slot.cotangent, *slot.node), slot.products);
  slot.products.clear();
  slot.inner_size = 0;
}

Tensor evaluate(const Placed& c, const Shape& shape) { return place(c.value, c.region, shape); }
Tensor evaluate(const Scattered& c, const Shape& shape) {
  return scatter_add(c.value, c.index, c.axis, shape);
}
Tensor evaluate(Tensor& t, const Shape& shape) {
  require(t.defined(), "the rule for an input {} returned an undefined tensor", shape);
  return t.shape() == shape ? std::move(t) : sum_to(std::move(t), shape);
}

template <class C>
void Pass::add(NodeRef& edge, C& contribution) {
  Node& input = *edge;
  Slot& slot = slot_for(edge);
  Tensor& there = input.is_output ? slot.of_outputs[input.output_index] : slot.cotangent;
  const bool in_place = !options_.create_graph && !this_thread.detecting_anomalies;
  if constexpr (std::is_same_v<C, Product>)
    if (in_place && !input.is_output && queue(slot, contribution)) return;
  if constexpr (!std::is_same_v<C, Tensor>)
    if (in_place && (there.defined() || !std::is_same_v<C, Product>))
      return add_to(own(there, input), contribution);
  Tensor t = evaluate(contribution, input.shape);
  require(t.dtype() == input.dtype, "the rule for an input {} {} returned {}", input.shape,
          input.dtype, t.dtype());
  if (this_thread.detecting_anomalies && !given_.empty()) require_finite("the rule", t, given_);
  there = there.defined() ? std::move(there) + std::move(t) : std::move(t);
}

template <class C>
requires std::is_constructible_v<Contribution, C>
void contribute(Pass& pass, Rule& rule, C contribution) { pass.add(rule.input, contribution); }
template void contribute(Pass&, Rule&, Tensor);
template void contribute(Pass&, Rule&, Product);
template void contribute(Pass&, Rule&, Placed);
template void contribute(Pass&, Rule&, Scattered);

void contribute(Pass& pass, Rule& rule, std::vector<Contribution> all) {
  Rule* next = &rule;
  do --next;
  while (next->type != &first_edge);
  require(all.size() == static_cast<std::size_t>(&rule - next),
          "the rule for {} inputs returned {} contributions", &rule - next, all.size());
  for (Contribution& c : all) {
    NodeRef& edge = next++->input;
    const auto* tensor = std::get_if<Tensor>(&c);
    if (edge && pass.needs(edge) && (!tensor || tensor->defined()))
      std::visit([&](auto& each) { pass.add(edge, each); }, c);
  }
}

}  // namespace retrace::detail

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
    if (n.is_leaf() || n.consumed || (n.slot && !n.is_output))
      return;  // the last: another pass is about to visit it
    n.consumed = true;
    n.acquire();
    n.link = std::exchange(list, &n);
  };
  push(first);
  while (Node* n = list) {
    list = std::exchange(n->link, nullptr);
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

/// Sees to it that a slot is free. The room to give all of them back is there before the first of
/// them is used.
void Pass::make_slot() {
  if (!work_.free.empty()) return;
  Slot* slot = work_.slots.emplace_back(std::make_unique<Slot>()).get();
  work_.free.reserve(work_.slots.capacity());
  work_.free.push_back(slot);
}

/// A reference to n for its slot to take over, when no rule has one to give. Nothing can fail
/// before the slot has it.
void Pass::hold_for_slot(Node& n) {
  if (options_.retain_graph || n.slot) return;
  make_slot();
  n.acquire();
}

/// For the node at the end of an edge, a reference that the slot takes over unless the graph stays.
Slot* Pass::open_slot(Node*& edge) {
  make_slot();
  Slot* slot = work_.free.back();
  work_.free.pop_back();
  if (options_.retain_graph) edge->acquire();
  slot->node.reset(options_.retain_graph ? edge : std::exchange(edge, nullptr));
  return slot;
}

/// Found by search, not by a mark on the leaf: passes in several threads may share it.
Slot& Pass::leaf_slot(Node*& edge) {
  constexpr std::size_t few = 16;
  std::vector<Slot*>& leaves = work_.leaves;
  for (std::size_t i = 0; i < std::min(leaves.size(), few); ++i)
    if (leaves[i]->node.get() == edge) return *leaves[i];
  if (leaves.size() >= few) {
    const auto [at, is_new] = leaf_places_.try_emplace(edge, leaves.size());
    if (!is_new) return *leaves[at->second];
  }
  leaves.push_back(open_slot(edge));
  return *leaves.back();
}

Slot& Pass::slot_for(Node*& edge) {
  Node& node = *edge;
  if (node.is_leaf()) return leaf_slot(edge);
  if (!node.slot) {
    Slot* slot = open_slot(edge);
    if (node.outputs > 0) slot->of_outputs.resize(node.outputs);
    work_.waiting.push(*slot);
    slot->pass = this;
    node.slot = slot;
  }
  require(node.slot->pass == this, "'{}' {} is part of what an outer backward walks through",
          node.op, node.shape);
  return *node.slot;
}

void Pass::run(Node& y, Tensor cotangent, const Function<void(const Slot&)>& complete) {
  const ModeScope mode(this_thread.recording, options_.create_graph);
  if (!y.is_output) hold_for_slot(y);
  Node* edge = &y;
  add(edge, cotangent);
  while (Slot* slot = work_.waiting.pop()) {
    flush(*slot);
    if (complete) complete(*slot);
    if (leads_on(*slot->node)) propagate(*slot);
    slot->node->slot =
        nullptr;  // until here a rule that walks back through its own result is refused
    slot->close();
    work_.free.push_back(slot);
  }
  for (Slot* leaf : work_.leaves) flush(*leaf);
}

/// A node of several outputs gathers cotangents even when only the outputs are wanted, not what
/// they came from.
bool Pass::leads_on(const Node& n) const {
  return !needed_ || (needed_->contains(&n) && needed_->at(&n));
}

/// The rules of a node, taken off it for good unless the graph is retained.
void Pass::propagate(Slot& slot) {
  Node& n = *slot.node;
  if (n.consumed) fail_consumed(n);
  for_each(n.rules, [](const Rule& rule) { fetch(rule.input, sizeof(Node)); });
  if (this_thread.detecting_anomalies)
    (given_ = with_kept(slot.of_outputs, n)).push_back(slot.cotangent);
  std::uint32_t left = n.rules.bytes;
  for_each(n.rules, [&](Rule& rule) {
    left -= static_cast<std::uint32_t>(rule.type->bytes);
    if (!needs(rule)) return;
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
  accumulated.node().storage->forget_derived();
  return accumulated;
}

/// Products of few columns by few rows, such as those of each time step for a weight, cost more
/// time to add up than to multiply. They wait until they are long enough together.
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

using detail::evaluate;
Tensor evaluate(const Placed& c, const Shape& shape) { return place(c.value, c.region, shape); }
Tensor evaluate(const Scattered& c, const Shape& shape) {
  return scatter_add(c.value, c.index, c.axis, shape);
}
Tensor evaluate(Tensor& t, const Shape& shape) {
  require(t.defined(), "the rule for an input {} returned an undefined tensor", shape);
  return t.shape() == shape ? std::move(t) : sum_to(std::move(t), shape);
}

template <class C>
void Pass::add(Node*& edge, C& contribution) {
  Node& input = *edge;
  Node* bundle =
      input.is_output ? input.bundle : nullptr;  // an output of several has no slot of its own
  if (bundle) hold_for_slot(*bundle);
  Slot& slot = slot_for(bundle ? bundle : edge);
  Tensor& there = input.is_output ? slot.of_outputs[input.outputs] : slot.cotangent;
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

void contribute(Pass& pass, Rule& rule, Tensor cotangent) { pass.add(rule.input, cotangent); }
void contribute(Pass& pass, Rule& rule, Product product) { pass.add(rule.input, product); }
void contribute(Pass& pass, Rule& rule, Placed placed) { pass.add(rule.input, placed); }
void contribute(Pass& pass, Rule& rule, Scattered scattered) { pass.add(rule.input, scattered); }
bool is_needed(const Pass& pass, const Rule& rule) { return pass.needs(rule); }

}  // namespace retrace::detail

#include "pass.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "../graph/walk.hpp"
#include "../ops/ops.hpp"

namespace retrace {
namespace detail {

struct Release {
  void operator()(Node* n) const noexcept { n->release(); }
};
/// What has accumulated for one node; several tensors for a node of several outputs.
struct Slot {
  std::unique_ptr<Node, Release> node;
  Tensor cotangent;
  std::vector<Tensor> of_outputs;
  std::vector<Product> products;  // to be added: many short ones make a long one
  std::int64_t inner_size = 0;    // of these together
  const Pass* pass = nullptr;     // that fills it

  void close() {
    cotangent = {};
    of_outputs.clear();
    products.clear();
    inner_size = 0;
    node.reset();
  }
};

namespace {

/// Takes the rules off every node below `first` without asking for memory or stack, so that it can run while an
/// exception unwinds.
void consume_all(Node& first) noexcept {
  Node* list = nullptr;
  const auto push = [&](Node& n) {
    if (n.is_leaf() || n.consumed || (n.slot && !n.is_output)) return;  // the last: another pass is about to visit it
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

struct Waiting {
  std::uint32_t depth;
  Slot* slot;

  bool operator<(const Waiting& other) const { return depth < other.depth; }
};
/// The lists of a pass, kept by the thread from one to the next.
struct Workspace : Kept {
  std::vector<std::unique_ptr<Slot>> slots;  // nodes point to them
  std::vector<Slot*> free;
  std::vector<Waiting> waiting;  // a heap, the deepest first
  std::vector<Slot*> leaves;
};

struct PassOptions {
  bool create_graph, retain_graph;
};

[[noreturn]] void fail_consumed(const Node& n) {
  fail(
      "backward: the graph of '{}' {} was consumed by an earlier backward; pass {{.retain_graph = true}} to that one, "
      "or detach() the state that is carried on",
      n.op, n.shape);
}

}  // namespace

/// One walk from a result to what it depends on, every node after all that use it.
class Pass {
 public:
  /// With `needed`, only nodes in it are visited, and only those marked there lead on.
  Pass(PassOptions options, const std::unordered_map<const Node*, bool>* needed) : options_(options), needed_(needed) {}
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass();

  /// complete(slot) is called for every inner node when its cotangents are all there.
  template <class Complete>
  void run(Node& y, Tensor cotangent, Complete&& complete);
  const std::vector<Slot*>& leaves() { return work_.leaves; }
  /// All accumulation: what a rule returned goes into what is there. A tensor is added; a description of one lands
  /// there without being made in full, unless it is recorded, or the first to come and a product.
  template <class C>
  void add(Node*& edge, C& contribution);
  bool needs(const Rule& rule) const { return !needed_ || !rule.input || needed_->contains(rule.input); }

 private:
  void make_slot();
  void hold_for_slot(Node& n);
  Slot* open_slot(Node*& edge);
  Slot& leaf_slot(Node*& edge);
  Slot& slot_for(Node*& edge);
  static bool queue(Slot& slot, Product& product);
  static void flush(Slot& slot);
  Slot* pop();
  bool leads_on(const Node& n) const;
  void propagate(Slot& slot);

  PassOptions options_;
  const std::unordered_map<const Node*, bool>* needed_;
  Workspace work_ = this_thread.workspace ? std::move(static_cast<Workspace&>(*this_thread.workspace)) : Workspace();
  Waiting next_{};  // the deepest of all, if it came last: it would go through the heap for nothing
  std::unordered_map<const Node*, std::size_t> leaf_places_;  // when there are many
  std::vector<Tensor> given_;                                 // to the rules under way, while anomalies are looked for
};

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

/// Sees to it that a slot is free. The room to give all of them back is there before the first of them is used.
void Pass::make_slot() {
  if (!work_.free.empty()) return;
  Slot* slot = work_.slots.emplace_back(std::make_unique<Slot>()).get();
  work_.free.reserve(work_.slots.capacity());
  work_.free.push_back(slot);
}

/// A reference to n for its slot to take over, when no rule has one to give. Nothing can fail before the slot has it.
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
    Waiting w{node.depth, slot};
    std::vector<Waiting>& heap = work_.waiting;
    if (next_.slot ? next_ < w : heap.empty() || heap.front() < w) std::swap(next_, w);
    if (w.slot) {
      heap.push_back(w);
      std::push_heap(heap.begin(), heap.end());
    }
    slot->pass = this;
    node.slot = slot;
  }
  require(node.slot->pass == this, "'{}' {} is part of what an outer backward walks through", node.op, node.shape);
  return *node.slot;
}

Slot* Pass::pop() {
  if (!next_.slot) {
    if (work_.waiting.empty()) return nullptr;
    std::pop_heap(work_.waiting.begin(), work_.waiting.end());
    next_ = work_.waiting.back();
    work_.waiting.pop_back();
  }
  return std::exchange(next_.slot, nullptr);
}

template <class Complete>
void Pass::run(Node& y, Tensor cotangent, Complete&& complete) {
  const ModeScope mode(this_thread.recording, options_.create_graph);
  if (!y.is_output) hold_for_slot(y);
  Node* edge = &y;
  add(edge, cotangent);
  while (Slot* slot = pop()) {
    flush(*slot);
    complete(*slot);
    if (leads_on(*slot->node)) propagate(*slot);
    slot->node->slot = nullptr;  // until here a rule that walks back through its own result is refused
    slot->close();
    work_.free.push_back(slot);
  }
  for (Slot* leaf : work_.leaves) flush(*leaf);
}

/// A node of several outputs gathers cotangents even when only the outputs are wanted, not what they came from.
bool Pass::leads_on(const Node& n) const { return !needed_ || (needed_->contains(&n) && needed_->at(&n)); }

/// The rules of a node, taken off it for good unless the graph is retained.
void Pass::propagate(Slot& slot) {
  Node& n = *slot.node;
  if (n.consumed) fail_consumed(n);
  for_each(n.rules, [](const Rule& rule) { fetch(rule.input, sizeof(Node)); });
  if (this_thread.detecting_anomalies) (given_ = with_kept(slot.of_outputs, n)).push_back(slot.cotangent);
  std::uint32_t left = n.rules.bytes;
  for_each(n.rules, [&](Rule& rule) {
    left -= static_cast<std::uint32_t>(rule.type->bytes);
    if (!needs(rule)) return;
    check_versions(n, rule);
    Tensor dy = left == 0 ? std::move(slot.cotangent) : slot.cotangent;
    const std::span<Tensor> cotangents = n.outputs > 0 ? std::span(slot.of_outputs) : std::span(&dy, 1);
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

/// Products of few columns by few rows, such as those of each time step for a weight, cost more time to add up than to
/// multiply. They wait until they are long enough together.
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
Tensor evaluate(const Scattered& c, const Shape& shape) { return scatter_add(c.value, c.index, c.axis, shape); }
Tensor evaluate(Tensor& t, const Shape& shape) {
  require(t.defined(), "the rule for an input {} returned an undefined tensor", shape);
  return t.shape() == shape ? std::move(t) : sum_to(std::move(t), shape);
}

template <class C>
void Pass::add(Node*& edge, C& contribution) {
  Node& input = *edge;
  Node* bundle = input.is_output ? input.bundle : nullptr;  // an output of several has no slot of its own
  if (bundle) hold_for_slot(*bundle);
  Slot& slot = slot_for(bundle ? bundle : edge);
  Tensor& there = input.is_output ? slot.of_outputs[input.outputs] : slot.cotangent;
  const bool in_place = !options_.create_graph && !this_thread.detecting_anomalies;
  if constexpr (std::is_same_v<C, Product>)
    if (in_place && !input.is_output && queue(slot, contribution)) return;
  if constexpr (!std::is_same_v<C, Tensor>)
    if (in_place && (there.defined() || !std::is_same_v<C, Product>)) return add_to(own(there, input), contribution);
  Tensor t = evaluate(contribution, input.shape);
  require(t.dtype() == input.dtype, "the rule for an input {} {} returned {}", input.shape, input.dtype, t.dtype());
  if (this_thread.detecting_anomalies && !given_.empty()) require_finite("the rule", t, given_);
  there = there.defined() ? std::move(there) + std::move(t) : std::move(t);
}

void contribute(Pass& pass, Rule& rule, Tensor cotangent) { pass.add(rule.input, cotangent); }
void contribute(Pass& pass, Rule& rule, Product product) { pass.add(rule.input, product); }
void contribute(Pass& pass, Rule& rule, Placed placed) { pass.add(rule.input, placed); }
void contribute(Pass& pass, Rule& rule, Scattered scattered) { pass.add(rule.input, scattered); }
bool is_needed(const Pass& pass, const Rule& rule) { return pass.needs(rule); }

namespace {

Tensor initial_cotangent(const char* what, const Tensor& y, const Tensor& given) {
  if (given.defined()) {
    require(given.shape() == y.shape() && given.dtype() == y.dtype(), "{}: the cotangent is {} {}, but '{}' is {} {}",
            what, given.shape(), given.dtype(), y.op(), y.shape(), y.dtype());
    return given;
  }
  require(y.size() == 1, "{}: '{}' has shape {}, not one element; give the cotangent or reduce it, say with sum()",
          what, y.op(), y.shape());
  return ones(y.shape(), y.dtype());
}

/// The nodes on a way from y to one of xs, marked unless it ends there. An Error if one of xs is unused or may be.
std::unordered_map<const Node*, bool> nodes_between(const Tensor& y, std::span<const Tensor> xs, bool allow_unused) {
  std::unordered_map<const Node*, bool> needed;
  std::unordered_set<const Node*> used;
  const Node* end = nullptr;  // one of xs that is consumed
  for (const Tensor& x : xs) needed.emplace(x.get(), false);
  for (Node* n : nodes_by_depth({&y, 1})) {
    if (needed.contains(n)) used.insert(n);
    if (n->consumed && !used.contains(n)) fail_consumed(*n);  // what lay behind it is no longer known
    if (n->consumed) end = n;
    bool leads_on = false;
    for_each_input(*n, [&](Node& input) { leads_on = leads_on || needed.contains(&input); });
    if (leads_on) needed[n] = true;
  }
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (used.contains(xs[i].get())) continue;
    if (end) fail_consumed(*end);
    require(allow_unused, "grad: '{}' {} does not depend on input {} {}; pass {{.allow_unused = true}} to get zeros",
            y.op(), y.shape(), i, xs[i].shape());
  }
  return needed;
}

}  // namespace

void backward(const Tensor& y, const Tensor& cotangent, BackwardOptions options) {
  require(y.requires_grad(),
          "backward: '{}' {} was not computed from a leaf that requires a gradient, or was while a NoGrad lived",
          y.op(), y.shape());
  Tensor dy = initial_cotangent("backward", y, cotangent.detach());
  Pass pass({.create_graph = false, .retain_graph = options.retain_graph}, nullptr);
  pass.run(y.node(), std::move(dy), [](const Slot&) {});
  // Everything that can fail comes first; then the gradients change hands.
  for (Slot* leaf : pass.leaves()) {
    Tensor& g = leaf->cotangent;
    if (const Tensor before = handle_to(*leaf->node).grad(); before.defined())
      g = no_grad([&] { return before + std::move(g); });
    else if (!g.expiring())
      g = g.detach().clone();
  }
  for (Slot* leaf : pass.leaves()) handle_to(*leaf->node).set_grad(std::move(leaf->cotangent));
}

}  // namespace detail

std::vector<Tensor> grad(const Tensor& y, std::span<const Tensor> xs, const GradOptions& options) {
  for (std::size_t i = 0; i < xs.size(); ++i)
    require(xs[i].requires_grad(), "grad: input {} {} does not require a gradient", i, xs[i].shape());
  Tensor dy = detail::initial_cotangent("grad", y, options.cotangent);
  const auto needed = detail::nodes_between(y, xs, options.allow_unused);
  std::unordered_map<const detail::Node*, Tensor> found;
  detail::Pass pass({options.create_graph, options.retain_graph || options.create_graph}, &needed);
  if (needed.contains(y.get()))
    pass.run(y.node(), std::move(dy), [&](const detail::Slot& slot) {
      for (const Tensor& x : xs) {
        const detail::Node& n = x.node();
        if (&n == slot.node.get()) found[&n] = slot.cotangent;
        if (n.is_output && n.bundle == slot.node.get()) found[&n] = slot.of_outputs[n.outputs];
      }
    });
  for (const detail::Slot* leaf : pass.leaves()) found[leaf->node.get()] = leaf->cotangent;

  std::vector<Tensor> gradients;
  for (const Tensor& x : xs) {
    Tensor& g = found[x.get()];
    if (!g.defined()) g = zeros(x.shape(), x.dtype());
    gradients.push_back(g);
  }
  return gradients;
}

void Tensor::backward(BackwardOptions options) const { detail::backward(*this, {}, options); }
void Tensor::backward(const Tensor& cotangent, BackwardOptions options) const {
  require(cotangent.defined(), "backward: the cotangent is undefined");
  detail::backward(*this, cotangent, options);
}

}  // namespace retrace

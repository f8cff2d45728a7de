#pragma once

#include <algorithm>
#include <unordered_map>

#include "../function.hpp"
#include "../graph/contribution.hpp"
#include "../graph/rule.hpp"

/// How backward works.
///
/// A pass walks from a result to the leaves. It visits a node when all cotangents of it have
/// arrived, which is certain for the deepest of the nodes that have any: an edge always leads to a
/// smaller depth (a node's is 1 more than its deepest input's), so nothing that is still to be
/// visited can add to it. `DeepestFirst` hands the nodes out in that order. Nothing recurses.
///
/// A slot gathers the cotangent of one node (of an op with several outputs: one for each). It is
/// taken when the first contribution arrives and given back when the node's rules have run. Leaves
/// keep theirs to the end of the walk, for `backward` to add to `.grad()` or `grad` to return.
///
/// Each rule of the node returns a contribution to the cotangent of its input (one for all inputs,
/// a list of them), and `Pass::add` adds it:
///
///     what it returns      if it is the first  if others came before
///     a tensor             is the cotangent    is added, in place where nobody else sees it
///     a Product            is computed         waits with others: one long product, added in place
///     Placed, Scattered    is added to zeros   is added in place, where it belongs
///
/// Under create_graph, or while anomalies are looked for, recorded ops first make each a tensor.
///
/// What is freed when: a kept value as soon as its rule, which may overwrite it, has run; the rules
/// and the references to inputs with the visit; the cotangent with the slot. retain_graph keeps the
/// rules and what they keep. When something throws, ~Pass takes the rules off all that is left, so
/// that a graph is consumed as a whole, and no `.grad()` has changed.
namespace retrace::detail {

/// The cotangent gathered for one node, or those of its outputs if it has several.
struct Slot {
  NodeRef node;
  Tensor cotangent;
  std::vector<Tensor> of_outputs;
  std::vector<Product> products;  // to be added: many short ones make a long one
  std::int64_t inner_size = 0;    // of these together: the k of [m, k] x [k, n]
  const Pass* pass = nullptr;     // the one that fills it

  void close() {
    cotangent = {};
    of_outputs.clear();
    products.clear();
    inner_size = 0;
    node.reset();
  }
};

/// Slots to be visited, that of the deepest node first.
class DeepestFirst {
 public:
  void push(Slot& slot) {
    Entry entry{slot.node->depth, &slot};
    if (next_.slot ? next_ < entry : heap_.empty() || heap_.front() < entry)
      std::swap(next_, entry);
    if (!entry.slot) return;
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end());
  }
  /// The deepest; null when there is none.
  Slot* pop() {
    if (!next_.slot) {
      if (heap_.empty()) return nullptr;
      std::pop_heap(heap_.begin(), heap_.end());
      next_ = heap_.back();
      heap_.pop_back();
    }
    return std::exchange(next_.slot, nullptr);
  }
  void clear();

 private:
  struct Entry {
    std::uint32_t depth;
    Slot* slot;

    bool operator<(const Entry& other) const { return depth < other.depth; }
  };
  Entry next_{};  // the deepest, if it was pushed last, as in every chain: so it bypasses the heap
  std::vector<Entry> heap_;
};

/// The lists of a pass, kept by the thread from one pass to the next.
struct Workspace : Kept {
  std::vector<std::unique_ptr<Slot>> slots;  // nodes point to them
  std::vector<Slot*> free;
  DeepestFirst waiting;
  std::vector<Slot*> leaves;
};

struct PassOptions {
  bool create_graph, retain_graph;
};

/// One walk from results to what they depend on, every node after all that use it.
class Pass {
 public:
  /// With `needed`, only its nodes are visited and the walk goes on only from those mapped to true.
  Pass(PassOptions options, const std::unordered_map<const Node*, bool>* needed)
      : options_(options), needed_(needed) {}
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass();

  /// Lets the walk begin at y, perhaps among others, if y leads to what is needed.
  void begin(const Tensor& y, Tensor cotangent);
  /// complete(slot) is called for every inner node when its cotangents have all arrived.
  void run(const Function<void(const Slot&)>& complete = {});
  const std::vector<Slot*>& leaves() { return work_.leaves; }
  /// All accumulation: adds a contribution to the cotangent at the end of an edge, as tabled above.
  template <class C>
  void add(NodeRef& edge, C& contribution);
  /// Whether the walk has to follow an edge; true for that of a rule without an input.
  bool needs(const NodeRef& edge) const {
    return !needed_ || !edge || needed_->contains(edge.get());
  }

 private:
  Slot* open_slot(NodeRef& edge);
  Slot& leaf_slot(NodeRef& edge);
  Slot& slot_for(NodeRef& edge);
  static bool queue(Slot& slot, Product& product);
  static void flush(Slot& slot);
  bool leads_on(const Node& n) const;
  void propagate(Slot& slot);

  PassOptions options_;
  const ModeScope mode_{this_thread.recording, options_.create_graph};
  const std::unordered_map<const Node*, bool>* needed_;
  Workspace work_ = this_thread.workspace
                        ? std::move(static_cast<Workspace&>(*this_thread.workspace))
                        : Workspace();
  std::unordered_map<const Node*, std::size_t> leaf_places_;  // their indices, once there are many
  std::vector<Tensor> given_;  // what the running rules get, while anomalies are looked for
};

[[noreturn]] void fail_consumed(const Node& n);

}  // namespace retrace::detail

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
/// keep theirs to the end of the walk, when `backward` adds them to `.grad()` or `grad` returns
/// them.
///
/// Each rule of the node returns a contribution to the cotangent of its input (one for all inputs,
/// a list of them), and `Pass::add` puts it there:
///
///     what it returns      if it is the first  if others came before
///     a tensor             is the cotangent    is added, in place where nobody else sees it
///     a Product            is computed         waits with others: one long product, added in place
///     Placed, Scattered    is added to zeros   is added in place, where it belongs
///
/// Under create_graph, or while anomalies are looked for, each is first made a tensor by recorded
/// operations.
///
/// What is freed when: a kept value when its rule has run, which may overwrite it; the rules and
/// the references to inputs with the visit; the cotangent with the slot. retain_graph keeps the
/// rules and what they keep. When something throws, ~Pass takes the rules off all that is left, so
/// that a graph is consumed as a whole, and no `.grad()` has changed.
namespace retrace::detail {

/// What has accumulated for one node; several tensors for a node of several outputs.
struct Slot {
  NodeRef node;
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
  /// Null when there is none.
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

/// The lists of a pass, kept by the thread from one to the next.
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
  /// With `needed`, only nodes in it are visited, and only those marked there lead on.
  Pass(PassOptions options, const std::unordered_map<const Node*, bool>* needed)
      : options_(options), needed_(needed) {}
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass();

  /// The walk is to begin at y, if it leads to what is needed.
  void begin(const Tensor& y, Tensor cotangent);
  /// complete(slot) is called for every inner node when its cotangents are all there.
  void run(const Function<void(const Slot&)>& complete = {});
  const std::vector<Slot*>& leaves() { return work_.leaves; }
  /// All accumulation: what a rule returned goes into what is there, as the table above says.
  template <class C>
  void add(NodeRef& edge, C& contribution);
  /// Of a rule without input as well.
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
  std::unordered_map<const Node*, std::size_t> leaf_places_;  // when there are many
  std::vector<Tensor> given_;  // to the rules under way, while anomalies are looked for
};

[[noreturn]] void fail_consumed(const Node& n);

}  // namespace retrace::detail

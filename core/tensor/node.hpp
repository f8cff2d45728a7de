#pragma once

#include <memory>

#include "../storage.hpp"
#include "layout.hpp"

namespace retrace::detail {

struct Slot;

/// The backward rules of a node, one after the other.
struct RuleList {
  std::byte* first = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t output_version = 0;
};

/// A tensor and its place in the graph, in one block of 200 bytes, where the pool has a boundary:
/// one field more costs 16. Handles (Tensor) keep the value; edges of later nodes keep only the
/// node, so that a value nobody wants any more is freed although the graph goes through it.
struct Node {
  std::atomic<std::uint32_t> handles{1};    // Tensors on this node
  std::atomic<std::uint32_t> refs{1};       // edges on this node, plus one for all handles together
  Storage* storage = nullptr;               // owned reference
  std::byte* data = nullptr;                // first element
  [[no_unique_address]] const Shape shape;  // the fields below fit into its tail padding
  const DType dtype;
  bool requires_grad = false;
  // A rule wants the output, so the elements stay although no handle is left.
  bool keeps_value = false;
  bool consumed = false;  // a backward pass used up the rules
  // One output of an op that has several. The rules are those of the bundle, the op's own node.
  bool is_output = false;
  std::uint8_t segment_depth = 0;  // how many checkpoints it was recorded in
  std::uint32_t depth = 0;         // 1 + the deepest input; 0 for leaves
  union {
    std::uint32_t outputs = 0;   // of a bundle: how many
    std::uint32_t output_index;  // of an output: its place among them
  };
  const char* op = nullptr;  // null for leaves
  union {
    // Where cotangents gather while a backward pass runs; not used for leaves.
    Slot* slot = nullptr;
    Node* bundle;  // of an output, an owned reference: cotangents gather there
  };
  union {
    Node* gradient = nullptr;  // of a leaf, an owned handle
    Node* next;                // in a list of nodes that are being freed or consumed
  };
  std::unique_ptr<Strides> strides;  // of a view that is not row-major
  RuleList rules;                    // how gradients go to the inputs
  alignas(8) std::byte room[64];     // for the rules, if they fit

  static Node* create(const Shape& shape, DType dtype) {
    void* block = pool_allocate(sizeof(Node));
    ++this_thread.live;
    return ::new (block) Node(shape, dtype);
  }
  Node(const Shape& s, DType d) : shape(s), dtype(d) {}

  bool is_leaf() const { return op == nullptr; }
  bool is_contiguous() const { return strides == nullptr; }
  bool sole_handle() const { return handles.load(std::memory_order_acquire) == 1; }
  /// Nothing but one handle knows of it, and it has no part in a graph.
  bool is_new() const {
    return sole_handle() && is_leaf() && !requires_grad && !gradient && refs == 1;
  }
  void acquire_handle() { handles.fetch_add(1, std::memory_order_relaxed); }
  void release_handle() noexcept {
    if (drop(handles)) last_handle_gone();
  }
  void acquire() {
    // One graph is used by one thread at a time, so only leaves may get edges from several at once.
    if (!is_leaf() && refs.load(std::memory_order_relaxed) == 1)
      refs.store(2, std::memory_order_relaxed);
    else
      refs.fetch_add(1, std::memory_order_relaxed);
  }
  void release() noexcept {
    if (drop(refs)) destroy();
  }

 private:
  // Defined in graph/rule.cpp, which knows what rules hold.
  void last_handle_gone() noexcept;
  void free() noexcept;
  void destroy() noexcept;
  void destroy_with_rules() noexcept;  // iterative: a chain of a million nodes needs no stack
};

struct Release {
  void operator()(Node* n) const noexcept { n->release(); }
};
/// An owned reference to a node, such as an edge of the graph.
using NodeRef = std::unique_ptr<Node, Release>;
inline NodeRef ref_to(Node& n) {
  n.acquire();
  return NodeRef(&n);
}

}  // namespace retrace::detail

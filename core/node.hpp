#pragma once

#include "memory.hpp"
#include "shape.hpp"

namespace retrace::detail {

struct Record;

/// A tensor and its place in the graph, in one block. Handles (Tensor) keep the value; edges of later nodes keep only
/// the node, so that a value nobody wants any more is freed although the graph goes through it.
struct Node {
  std::atomic<std::uint32_t> handles{1};  // Tensors on this node
  std::atomic<std::uint32_t> refs{1};     // edges on this node, plus one for all handles together
  Storage* storage = nullptr;             // owned reference
  std::byte* data = nullptr;              // first element
  const Shape shape;
  const DType dtype;
  bool contiguous = true;
  bool requires_grad = false;
  bool keeps_value = false;   // a rule wants the output, so the elements stay although no handle is left
  bool consumed = false;      // a backward pass used up the rules
  std::uint32_t depth = 0;    // 1 + the deepest input; 0 for leaves
  std::uint32_t slot = 0;     // 1 + place of the cotangent while a backward pass runs; not used for leaves
  std::uint32_t outputs = 0;  // how many, for the node without a value of an op that has several
  Strides strides;
  const char* op = nullptr;  // null for leaves
  Record* record = nullptr;  // how gradients go to the inputs
  Node* link = nullptr;      // leaf: its gradient; a dying node: the next one to be freed

  static Node* create(const Shape& shape, DType dtype);
  Node(const Shape& s, DType d) : shape(s), dtype(d), strides(row_major(s)) {}

  bool is_leaf() const { return op == nullptr; }
  bool sole_handle() const { return handles.load(std::memory_order_acquire) == 1; }
  void acquire_handle() { handles.fetch_add(1, std::memory_order_relaxed); }
  void release_handle() noexcept {
    if (sole_handle() || handles.fetch_sub(1, std::memory_order_acq_rel) == 1) last_handle_gone();
  }
  void acquire() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs.load(std::memory_order_acquire) == 1 || refs.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

 private:
  void last_handle_gone() noexcept;
  void destroy() noexcept;  // iterative: a chain of a million nodes needs no stack
};

}  // namespace retrace::detail

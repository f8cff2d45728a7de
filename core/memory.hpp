#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace retrace::detail {

/// Blocks from lists kept per thread, because a training step asks for the same sizes again and again and fresh
/// pages cost more than the arithmetic. A block may be freed in another thread than took it.
void* pool_allocate(std::size_t bytes);
void pool_free(void* block, std::size_t bytes) noexcept;

/// Something made from the elements of a storage and kept with it until they change; what is behind this head belongs
/// to who made it.
struct Derived {
  Derived* next;
  std::size_t block_bytes;
};

/// The elements of a tensor and of the views on it. Apart from the node, since it moves when a dying operand lends it.
struct Storage {
  std::atomic<std::uint32_t> refs{1};
  std::atomic<std::uint32_t> version{0};  // counts in-place changes
  std::size_t block_bytes;

  explicit Storage(std::size_t block) : block_bytes(block) {}
  static Storage* allocate(std::size_t bytes);
  std::byte* data();
  void acquire() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;
  bool unique() const { return refs.load(std::memory_order_acquire) == 1; }

  /// To be called when elements were or will be overwritten; nobody may be reading them meanwhile.
  void changed() {
    version.fetch_add(1, std::memory_order_relaxed);
    forget_derived();
  }
  void forget_derived() noexcept;
  /// What was derived, for large blocks; null for small ones.
  struct DerivedList* derived();
};

/// A list that threads which read the elements may add to at the same time.
struct DerivedList {
  std::atomic<Derived*> first{nullptr};
  std::atomic<bool> wanted{false};  // has been asked for since the last change

  void add(Derived* d) {
    d->next = first.load(std::memory_order_relaxed);
    while (!first.compare_exchange_weak(d->next, d, std::memory_order_release, std::memory_order_relaxed)) {
    }
  }
};

}  // namespace retrace::detail

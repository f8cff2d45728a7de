#pragma once

#include <atomic>
#include <new>

#include "recorder_hooks.hpp"

namespace retrace::detail {

/// The head of a copy of the elements in the order in which products read them best. It is kept
/// with the elements until they change; what is behind the head belongs to kernels/packed_form.
struct PackedCopy {
  PackedCopy* next;
  std::size_t block_bytes;
};

/// A list that threads which read the elements may add to at the same time.
struct PackedCopies {
  std::atomic<PackedCopy*> first{nullptr};
  std::atomic<bool> used_before{false};  // by a product since the last change

  void add(PackedCopy* copy) {
    copy->next = first.load(std::memory_order_relaxed);
    while (!first.compare_exchange_weak(copy->next, copy, std::memory_order_release,
                                        std::memory_order_relaxed)) {
    }
  }
};

/// The elements of a tensor and of the views on it. Apart from the node, so that an expiring
/// operand can hand its elements to the result.
struct Storage {
  /// Beside the count of references: recordings hold it, too.
  static constexpr std::uint32_t held = 1u << 31;

  std::atomic<std::uint32_t> refs{1};
  std::atomic<std::uint32_t> version{0};  // counts in-place changes
  std::size_t block_bytes;

  explicit Storage(std::size_t block) : block_bytes(block) {}
  static Storage* allocate(std::size_t bytes);
  static Storage* make(std::size_t bytes);
  bool is_large() const { return block_bytes > small_limit; }
  std::byte* data() {
    return reinterpret_cast<std::byte*>(this) + (is_large() ? cache_line : sizeof(Storage));
  }
  /// Of the elements, with what rounds them up.
  std::size_t element_bytes() const {
    return block_bytes - (is_large() ? cache_line : sizeof(Storage));
  }
  void acquire() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (!drop(refs)) {
      if (this_thread.recorder) [[unlikely]]
        given_up();
      return;
    }
    free();
  }
  void free() noexcept {
    forget_packed();
    pool_free(this, block_bytes);
  }
  /// How many tensors there are on the elements.
  std::uint32_t users() const { return refs.load(std::memory_order_acquire) & ~held; }
  /// Whether the only one may give the elements away. What a recording holds it writes to again, so
  /// it stays where it is, but for the operations that are being recorded.
  bool unique() const {
    const std::uint32_t n = refs.load(std::memory_order_acquire);
    return n == 1 || (n == (held | 1) && this_thread.recorder);
  }

  /// To be called when elements were or will be overwritten; nobody may be reading them meanwhile.
  void changed() {
    version.fetch_add(1, std::memory_order_relaxed);
    forget_packed();
  }
  void forget_packed() noexcept {
    if (is_large() && packed()->used_before.load(std::memory_order_relaxed)) forget_packed_slowly();
  }
  /// Of large blocks; null for small ones, which are not worth it.
  PackedCopies* packed();

 private:
  void forget_packed_slowly() noexcept;
  // While a step is recorded; defined in replay/recorder.cpp.
  static Storage* allocate_recorded(std::size_t bytes);
  void given_up() noexcept;
};

/// The head of a large block.
struct LargeStorage : Storage {
  PackedCopies packed_copies;

  explicit LargeStorage(std::size_t block) : Storage(block) {}
};
static_assert(sizeof(LargeStorage) <= cache_line);

inline PackedCopies* Storage::packed() {
  return is_large() ? &static_cast<LargeStorage*>(this)->packed_copies : nullptr;
}
inline Storage* Storage::allocate(std::size_t bytes) {
  if (this_thread.recorder) [[unlikely]]
    return allocate_recorded(bytes);
  return make(bytes);
}
inline Storage* Storage::make(std::size_t bytes) {
  const std::size_t small = bytes + sizeof(Storage), large = bytes + cache_line;
  if (small <= small_limit) return ::new (pool_allocate(small)) Storage(small);
  return ::new (pool_allocate(large)) LargeStorage(large);
}

}  // namespace retrace::detail

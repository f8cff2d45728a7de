#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace retrace::detail {

inline constexpr std::size_t small_limit = 1032, small_step = 16, cache_line = 64;
inline constexpr std::size_t small_classes = small_limit / small_step + 1;
inline constexpr std::size_t steps_per_doubling =
    8;  // a large block is at most an eighth larger than asked for

/// Prefetches for writing.
inline void fetch(const void* p, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += cache_line)
    __builtin_prefetch(static_cast<const std::byte*>(p) + at, 1);
}

/// Blocks kept by a thread, because a training step asks for the same sizes again and again and
/// fresh pages cost more than the arithmetic. A block may be freed in another thread than took it.
struct Pool {
  std::array<void*, small_classes + 40 * steps_per_doubling>
      free{};            // lists linked through the blocks
  std::size_t room = 0;  // how much may still be kept, in small steps

  void* take(std::size_t index) {
    void* next = *static_cast<void**>(free[index]);
    fetch(next, 3 * cache_line);  // the next to be asked for, which lay unused since the last step
                                  // of training
    return std::exchange(free[index], next);
  }
  void put(std::size_t index, void* block) {
    *static_cast<void**>(block) = std::exchange(free[index], block);
  }
};

/// What a thread keeps from one use to the next and deletes when it ends.
struct Kept {
  virtual ~Kept() = default;
};

struct Node;
struct Draws;

/// What each thread has. Defined in the library, so that there is one however many shared objects
/// use it; reached without a call; and small, since a process that opens the library late has
/// little room for the like. Constant when a thread begins and trivially destructible: it can be
/// used before main and after the thread's destructors ran.
struct ThreadState {
  bool recording = true, detecting_anomalies = false, training = false;
  std::uint8_t segment_depth =
      0;       // functions under checkpoint that are running, one within the other
  Pool* pool;  // without blocks and room until the first is freed and once the thread ends
  std::int64_t live = 0;      // nodes made in this thread minus those that died in it
  Node** dying = nullptr;     // the list that a loop up the stack frees
  Kept* workspace = nullptr;  // of a backward pass, for the next
  Draws* draws = nullptr;     // where generators that are used are noted
};
extern constinit thread_local __attribute__((tls_model("initial-exec"))) ThreadState this_thread;

/// Sizes of small blocks are 8, 24, 40, ...: with the 8 bytes that malloc adds they fill its steps
/// of 16.
inline std::size_t small_class(std::size_t bytes) {
  return (bytes + small_step / 2 - 1) / small_step;
}

/// Whether this thread may keep something until it ends, which it may not from then on.
bool may_keep() noexcept;

void* pool_allocate_slowly(std::size_t bytes);
void pool_free_slowly(void* block, std::size_t bytes) noexcept;

inline void* pool_allocate(std::size_t bytes) {
  const std::size_t index = small_class(bytes);
  if (bytes > small_limit || !this_thread.pool->free[index]) [[unlikely]]
    return pool_allocate_slowly(bytes);
  this_thread.pool->room += index;
  return this_thread.pool->take(index);
}

inline void pool_free(void* block, std::size_t bytes) noexcept {
  const std::size_t index = small_class(bytes);
  if (bytes > small_limit || this_thread.pool->room <= index) [[unlikely]]
    return pool_free_slowly(block, bytes);
  this_thread.pool->room -= index;
  this_thread.pool->put(index, block);
}

/// Something made from the elements of a storage and kept with it until they change; what is behind
/// this head belongs to who made it.
struct Derived {
  Derived* next;
  std::size_t block_bytes;
};

/// A list that threads which read the elements may add to at the same time.
struct DerivedList {
  std::atomic<Derived*> first{nullptr};
  std::atomic<bool> wanted{false};  // has been asked for since the last change

  void add(Derived* d) {
    d->next = first.load(std::memory_order_relaxed);
    while (!first.compare_exchange_weak(d->next, d, std::memory_order_release,
                                        std::memory_order_relaxed)) {
    }
  }
};

/// Gives up one of the references counted; true if it was the last. Who holds the only one need not
/// subtract, since nobody else is left to count: a locked instruction saved, as most counts are 1.
inline bool drop(std::atomic<std::uint32_t>& count) noexcept {
  return count.load(std::memory_order_acquire) == 1 ||
         count.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

/// The elements of a tensor and of the views on it. Apart from the node, so that an expiring
/// operand can hand its elements to the result.
struct Storage {
  std::atomic<std::uint32_t> refs{1};
  std::atomic<std::uint32_t> version{0};  // counts in-place changes
  std::size_t block_bytes;

  explicit Storage(std::size_t block) : block_bytes(block) {}
  static Storage* allocate(std::size_t bytes);
  bool is_large() const { return block_bytes > small_limit; }
  std::byte* data() {
    return reinterpret_cast<std::byte*>(this) + (is_large() ? cache_line : sizeof(Storage));
  }
  void acquire() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (!drop(refs)) return;
    forget_derived();
    pool_free(this, block_bytes);
  }
  bool unique() const { return refs.load(std::memory_order_acquire) == 1; }

  /// To be called when elements were or will be overwritten; nobody may be reading them meanwhile.
  void changed() {
    version.fetch_add(1, std::memory_order_relaxed);
    forget_derived();
  }
  void forget_derived() noexcept {
    if (is_large() && derived()->wanted.load(std::memory_order_relaxed)) forget_derived_slowly();
  }
  /// What was derived, for large blocks; null for small ones.
  DerivedList* derived();

 private:
  void forget_derived_slowly() noexcept;
};

/// The head of a large block.
struct LargeStorage : Storage {
  DerivedList list;

  explicit LargeStorage(std::size_t block) : Storage(block) {}
};
static_assert(sizeof(LargeStorage) <= cache_line);

inline DerivedList* Storage::derived() {
  return is_large() ? &static_cast<LargeStorage*>(this)->list : nullptr;
}
inline Storage* Storage::allocate(std::size_t bytes) {
  const std::size_t small = bytes + sizeof(Storage), large = bytes + cache_line;
  if (small <= small_limit) return ::new (pool_allocate(small)) Storage(small);
  return ::new (pool_allocate(large)) LargeStorage(large);
}

}  // namespace retrace::detail

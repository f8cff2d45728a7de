#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace retrace::detail {

// Blocks come in these sizes, a list of the pool for each:
//
//   bytes asked for  sizes
//   0 to 1032        8, 24, 40, ... 1032: with malloc's own 8 bytes they fill its steps of 16
//   to 2^48          1152, 1280, ... 2048, 2304, ...: eight for each doubling, so a block is at
//                    most an eighth larger than asked for; they begin at a cache line
//   more             as asked for, and never kept
inline constexpr std::size_t small_limit = 1032, small_step = 16, cache_line = 64;
inline constexpr std::size_t small_classes = small_limit / small_step + 1;
inline constexpr std::size_t steps_per_doubling = 8;

/// Prefetches for writing.
inline void fetch(const void* p, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += cache_line)
    __builtin_prefetch(static_cast<const std::byte*>(p) + at, 1);
}

/// Blocks kept by a thread, because a training step asks for the same sizes again and again and
/// fresh pages cost more than the arithmetic. A block may be freed in another thread than took it.
struct Pool {
  // Lists linked through the blocks.
  std::array<void*, small_classes + 40 * steps_per_doubling> free{};
  std::size_t room = 0;  // the budget: how much may still be kept, in units of small_step bytes

  void* take(std::size_t index) {
    void* next = *static_cast<void**>(free[index]);
    // It will be asked for next, and has lain unused since the last training step.
    fetch(next, 3 * cache_line);
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
class Recorder;

/// What each thread has. Defined in the library, so that there is one however many shared objects
/// use it; reached without a call; and small, since a process that opens the library late has
/// little static thread-local storage left. Constant when a thread begins and trivially
/// destructible: it can be used before main and after the thread's destructors ran.
struct ThreadState {
  bool recording = true, detecting_anomalies = false, training = false;
  bool observed = false;  // anomalies are looked for, or a step is recorded
  // Nesting depth of the checkpointed functions that are running now.
  std::uint8_t segment_depth = 0;
  // Keeps nothing before the first block is freed and after the thread has ended.
  Pool* pool;
  std::int64_t live = 0;         // nodes made in this thread minus those that died in it
  Node** dying = nullptr;        // the list that a loop up the stack frees
  Kept* workspace = nullptr;     // of a backward pass, for the next
  Draws* draws = nullptr;        // where generators that are used are noted
  Recorder* recorder = nullptr;  // of the step that is being recorded, for Replay
  const char* op = nullptr;      // the operation under way, while somebody observes
};
extern constinit thread_local __attribute__((tls_model("initial-exec"))) ThreadState this_thread;

/// The index of the list for small blocks of that size.
inline std::size_t small_class(std::size_t bytes) {
  return (bytes + small_step / 2 - 1) / small_step;
}

/// Whether this thread may still keep something until it ends: no longer once it is ending.
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

/// Gives up one of the references counted; true if it was the last. The holder of the only one need
/// not subtract, as nobody else counts. Most counts are 1, so that saves most locked instructions.
inline bool drop(std::atomic<std::uint32_t>& count) noexcept {
  return count.load(std::memory_order_acquire) == 1 ||
         count.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

}  // namespace retrace::detail

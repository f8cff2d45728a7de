#include "memory.hpp"

#include <array>
#include <bit>
#include <limits>
#include <new>
#include <utility>

namespace retrace::detail {
namespace {

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr bool keep_blocks = false;  // so that a use after free is seen
#else
constexpr bool keep_blocks = true;
#endif

constexpr std::size_t small_limit = 1024, small_step = 16;
constexpr std::size_t small_classes = small_limit / small_step + 1;
constexpr std::size_t steps_per_doubling = 8;  // a block is at most an eighth larger than asked for
constexpr std::size_t large_classes = 40 * steps_per_doubling;
constexpr std::size_t kept_bytes_limit = std::size_t{256} << 20;  // per thread
constexpr std::size_t cache_line = 64;

struct SizeClass {
  std::size_t index, bytes;
};

SizeClass size_class(std::size_t bytes) {
  if (bytes <= small_limit) {
    const std::size_t index = (bytes + small_step - 1) / small_step;
    return {index, index * small_step};
  }
  const auto doubling = static_cast<std::size_t>(std::bit_width(bytes - 1) - 1);
  const std::size_t step = (std::size_t{1} << doubling) / steps_per_doubling;
  const std::size_t rounded = (bytes + step - 1) / step;  // steps_per_doubling < rounded <= 2 * steps_per_doubling
  return {small_classes + (doubling - 10) * steps_per_doubling + rounded - steps_per_doubling - 1, rounded * step};
}

void* system_allocate(std::size_t bytes) {
  return bytes <= small_limit ? ::operator new(bytes) : ::operator new (bytes, std::align_val_t{cache_line});
}

void system_free(void* block, std::size_t bytes) noexcept {
  if (bytes <= small_limit)  // Clang 14 compiles a conditional expression of the two into both calls
    ::operator delete(block);
  else
    ::operator delete (block, std::align_val_t{cache_line});
}

struct FreeBlock {
  FreeBlock* next;
};

struct Cache {
  std::array<FreeBlock*, small_classes + large_classes> free{};
  std::size_t kept_bytes = 0;
  enum { unused, open, closed } state = unused;
};
// Trivially destructible, so it can still be asked when the last tensors die after the thread's destructors ran.
constinit thread_local Cache cache;

struct CacheCloser {
  void open() { cache.state = Cache::open; }  // being called registers the destructor with this thread
  ~CacheCloser() {
    cache.state = Cache::closed;
    for (std::size_t i = 0; i < cache.free.size(); ++i)
      while (FreeBlock* block = cache.free[i]) {
        cache.free[i] = block->next;
        system_free(block, i < small_classes ? 0 : small_limit + 1);
      }
  }
};
thread_local CacheCloser closer;

}  // namespace

void* pool_allocate(std::size_t bytes) {
  if (!keep_blocks || bytes > std::size_t{1} << 48) return system_allocate(bytes);
  const auto [index, rounded] = size_class(bytes);
  if (FreeBlock* block = cache.free[index]) {
    cache.free[index] = block->next;
    cache.kept_bytes -= rounded;
    return block;
  }
  return system_allocate(rounded);
}

void pool_free(void* block, std::size_t bytes) noexcept {
  if (!keep_blocks || bytes > std::size_t{1} << 48) return system_free(block, bytes);
  const auto [index, rounded] = size_class(bytes);
  if (cache.state == Cache::unused) closer.open();
  if (cache.state == Cache::closed || cache.kept_bytes + rounded > kept_bytes_limit) return system_free(block, rounded);
  cache.free[index] = ::new (block) FreeBlock{cache.free[index]};
  cache.kept_bytes += rounded;
}

namespace {
/// The head of a large block.
struct LargeStorage : Storage {
  DerivedList derived;
};
static_assert(sizeof(LargeStorage) <= cache_line);

constexpr std::size_t offset_of_data(std::size_t block_bytes) {
  return block_bytes > small_limit ? cache_line : sizeof(Storage);
}
}  // namespace

Storage* Storage::allocate(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
  const std::size_t small = bytes + sizeof(Storage);
  if (small <= small_limit) return ::new (pool_allocate(small)) Storage(small);
  return ::new (pool_allocate(bytes + cache_line)) LargeStorage{Storage(bytes + cache_line), {}};
}

std::byte* Storage::data() { return reinterpret_cast<std::byte*>(this) + offset_of_data(block_bytes); }

DerivedList* Storage::derived() {
  return block_bytes > small_limit ? &static_cast<LargeStorage*>(this)->derived : nullptr;
}

void Storage::forget_derived() noexcept {
  DerivedList* list = derived();
  if (!list || !list->wanted.load(std::memory_order_relaxed)) return;
  list->wanted.store(false, std::memory_order_relaxed);
  for (Derived* d = list->first.exchange(nullptr, std::memory_order_acquire); d;) {
    Derived* gone = std::exchange(d, d->next);
    pool_free(gone, gone->block_bytes);
  }
}

void Storage::release() noexcept {
  if (refs.load(std::memory_order_acquire) != 1 && refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  forget_derived();
  pool_free(this, block_bytes);
}

}  // namespace retrace::detail

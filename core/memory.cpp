#include "memory.hpp"

#include <bit>

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

constexpr std::size_t kept_bytes_limit = std::size_t{256} << 20;  // per thread

struct SizeClass {
  std::size_t index, bytes;
};

SizeClass size_class(std::size_t bytes) {
  if (const std::size_t small = small_class(bytes); bytes <= small_limit)
    return {small, small * small_step + small_step / 2};
  const auto doubling = static_cast<std::size_t>(std::bit_width(bytes - 1) - 1);
  const std::size_t step = (std::size_t{1} << doubling) / steps_per_doubling;
  // steps_per_doubling < rounded <= 2 * steps_per_doubling
  const std::size_t rounded = (bytes + step - 1) / step;
  return {small_classes + (doubling - 10) * steps_per_doubling + rounded - steps_per_doubling - 1,
          rounded * step};
}

void* system_allocate(std::size_t bytes) {
  return bytes <= small_limit ? ::operator new(bytes)
                              : ::operator new (bytes, std::align_val_t{cache_line});
}

void system_free(void* block, std::size_t bytes) noexcept {
  // Clang 14 compiles a conditional expression of the two into both calls.
  if (bytes <= small_limit)
    ::operator delete(block);
  else
    ::operator delete (block, std::align_val_t{cache_line});
}

constinit Pool nothing;  // never written to: it has no block to take and a budget of 0

struct Keeper {
  Keeper() noexcept {
    Pool* pool = new (std::nothrow) Pool{.room = keep_blocks ? kept_bytes_limit / small_step : 0};
    if (pool) this_thread.pool = pool;
  }
  ~Keeper() {
    delete std::exchange(this_thread.workspace, nullptr);
    Pool* pool = std::exchange(this_thread.pool, &nothing);
    if (pool == &nothing) return;
    for (std::size_t i = 0; i < pool->free.size(); ++i)
      while (pool->free[i]) system_free(pool->take(i), i < small_classes ? 0 : small_limit + 1);
    delete pool;
  }
};

}  // namespace

constinit thread_local ThreadState this_thread{.pool = &nothing};

bool may_keep() noexcept {
  thread_local const Keeper keeper;  // made when first asked
  return this_thread.pool != &nothing;
}

void* pool_allocate_slowly(std::size_t bytes) {
  if (!keep_blocks || bytes > std::size_t{1} << 48) return system_allocate(bytes);
  const auto [index, rounded] = size_class(bytes);
  Pool& pool = *this_thread.pool;
  if (!pool.free[index]) return system_allocate(rounded);
  pool.room += rounded / small_step;
  return pool.take(index);
}

void pool_free_slowly(void* block, std::size_t bytes) noexcept {
  if (!keep_blocks || bytes > std::size_t{1} << 48 || !may_keep()) return system_free(block, bytes);
  const auto [index, rounded] = size_class(bytes);
  Pool& pool = *this_thread.pool;
  if (pool.room <= rounded / small_step) return system_free(block, rounded);
  pool.room -= rounded / small_step;
  pool.put(index, block);
}

}  // namespace retrace::detail

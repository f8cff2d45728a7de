#include "failing_allocations.hpp"

#include <cstdlib>
#include <limits>
#include <new>
#include <retrace/core.hpp>

namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constinit thread_local std::int64_t until_failure = never;
constinit thread_local bool fails_on = false;
constinit thread_local std::int64_t taken = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
  ++taken;
  if (until_failure != never && --until_failure <= 0) {
    if (!fails_on) until_failure = never;
    throw std::bad_alloc();
  }
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* block = std::aligned_alloc(alignment, rounded > 0 ? rounded : alignment);
  if (!block) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

namespace retrace::test {
namespace {

/// Empties the thread's pool and lets it keep nothing.
void keep_no_blocks() {
  static_cast<void>(
      ones({1}));  // a thread that has freed nothing would begin to keep blocks at its first free
  detail::Pool& pool = *detail::this_thread.pool;
  for (std::size_t i = 0; i < pool.free.size(); ++i)
    while (pool.free[i]) std::free(pool.take(i));
  pool.room = 0;
}

}  // namespace

FailingAllocations::FailingAllocations(std::int64_t k, bool all_after) {
  keep_no_blocks();
  until_failure = k;
  fails_on = all_after;
}
FailingAllocations::~FailingAllocations() { until_failure = never; }

std::int64_t allocations() { return taken; }

bool FailingAllocations::happened() const { return until_failure <= 0 || until_failure == never; }

}  // namespace retrace::test

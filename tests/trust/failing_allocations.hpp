#pragma once

#include <cstdint>

namespace retrace::test {

/// While one lives, the k-th allocation of this thread from then on throws std::bad_alloc, and all
/// after it or none. Blocks that are free are given back meanwhile, so that every allocation of the
/// library is one of these.
class FailingAllocations {
 public:
  FailingAllocations(std::int64_t k, bool all_after);
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
  ~FailingAllocations();
  /// Whether there was a k-th allocation; some are content without memory and throw nothing.
  bool happened() const;
};

/// How often this thread has asked the system for memory.
std::int64_t allocations();

}  // namespace retrace::test

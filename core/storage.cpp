#include "storage.hpp"

namespace retrace::detail {

void Storage::forget_packed_slowly() noexcept {
  // So that who remembers one sees that it is gone.
  version.fetch_add(1, std::memory_order_relaxed);
  PackedCopies& copies = *packed();
  copies.used_before.store(false, std::memory_order_relaxed);
  for (PackedCopy* copy = copies.first.exchange(nullptr, std::memory_order_acquire); copy;) {
    PackedCopy* gone = std::exchange(copy, copy->next);
    pool_free(gone, gone->block_bytes);
  }
}

}  // namespace retrace::detail

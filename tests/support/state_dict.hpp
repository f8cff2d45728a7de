#pragma once

#include <cstdint>
#include <retrace/core.hpp>

namespace retrace::test {

struct StateDict {
  Parameters tensors;
  Metadata metadata;
};

/// Up to eight tensors of any dtype, shape, name and bits, NaNs with payloads and -0.0 among them,
/// some of them views; and metadata.
StateDict random_state_dict(std::uint64_t seed);

}  // namespace retrace::test

#pragma once

#include <retrace/core.hpp>
#include <vector>

namespace retrace::test {

/// Those that this machine has, `baseline` first.
inline std::vector<VectorUnit> vector_units() {
  std::vector<VectorUnit> units{VectorUnit::baseline};
  for (const VectorUnit unit : {VectorUnit::avx2, VectorUnit::avx512})
    if (vector_unit() >= unit) units.push_back(unit);
  return units;
}

/// Limits the vector unit for as long as it lives.
struct LimitedTo {
  explicit LimitedTo(VectorUnit unit) { limit_vector_unit(unit); }
  LimitedTo(const LimitedTo&) = delete;
  LimitedTo& operator=(const LimitedTo&) = delete;
  ~LimitedTo() { limit_vector_unit(VectorUnit::avx512); }
};

}  // namespace retrace::test

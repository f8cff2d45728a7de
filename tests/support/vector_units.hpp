#pragma once

#include <array>
#include <retrace/core.hpp>
#include <string_view>
#include <vector>

namespace retrace::test {

inline std::string_view name_of(VectorUnit unit) {
  return std::array{"baseline", "avx2", "avx512"}[static_cast<std::size_t>(unit)];
}

/// Those that may be used, `baseline` first.
inline std::vector<VectorUnit> vector_units() {
  std::vector<VectorUnit> units{VectorUnit::baseline};
  for (const VectorUnit unit : {VectorUnit::avx2, VectorUnit::avx512})
    if (vector_unit() >= unit) units.push_back(unit);
  return units;
}

/// Limits the vector unit for as long as it lives.
class LimitedTo {
 public:
  explicit LimitedTo(VectorUnit unit) : before_(vector_unit()) { limit_vector_unit(unit); }
  LimitedTo(const LimitedTo&) = delete;
  LimitedTo& operator=(const LimitedTo&) = delete;
  ~LimitedTo() { limit_vector_unit(before_); }

 private:
  VectorUnit before_;
};

}  // namespace retrace::test

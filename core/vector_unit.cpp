#include "vector_unit.hpp"

#include <algorithm>

namespace retrace {
namespace {

VectorUnit of_cpu() {
#if RETRACE_X86
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return VectorUnit::baseline;
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  return has_avx512 ? VectorUnit::avx512 : VectorUnit::avx2;
#else
  return VectorUnit::baseline;
#endif
}

}  // namespace

// Before the statics of programs, which may use or limit it.
[[gnu::init_priority(101)]] std::atomic<VectorUnit> detail::vector_unit_in_use{of_cpu()};

void limit_vector_unit(VectorUnit most) { detail::vector_unit_in_use = std::min(most, of_cpu()); }

}  // namespace retrace

#pragma once

#include <atomic>

/// Loops compiled for several vector units, of which the CPU that is met at run time has one.
namespace retrace {

enum class VectorUnit { baseline, avx2, avx512 };

namespace detail {
extern std::atomic<VectorUnit> vector_unit_in_use;  // baseline until this library's statics are initialised
}

/// What is used: the best the CPU has, unless it was limited.
inline VectorUnit vector_unit() { return detail::vector_unit_in_use.load(std::memory_order_relaxed); }
/// Sets the best that may be used in this process; for tests and measurements.
void limit_vector_unit(VectorUnit most);

#if defined(__x86_64__) && defined(__GNUC__)
#define RETRACE_X86 1
#define RETRACE_AVX2 __attribute__((target("avx2,fma")))
#define RETRACE_AVX512 __attribute__((target("avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")))

namespace detail {
template <class F>
RETRACE_AVX2 void run_on_avx2(const F& f) {
  f();
}
template <class F>
RETRACE_AVX512 void run_on_avx512(const F& f) {
  f();
}
}  // namespace detail
#endif

/// A lambda for on_vector_unit has to be inlined into code compiled for the unit.
#define RETRACE_INLINE __attribute__((always_inline))

/// Runs f, a lambda marked RETRACE_INLINE, whose loops the compiler vectorises for the unit in use.
template <class F>
void on_vector_unit(const F& f) {
#if RETRACE_X86
  switch (vector_unit()) {
    case VectorUnit::avx512:
      return detail::run_on_avx512(f);
    case VectorUnit::avx2:
      return detail::run_on_avx2(f);
    case VectorUnit::baseline:
      break;
  }
#endif
  f();
}

}  // namespace retrace

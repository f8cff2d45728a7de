#pragma once

#include <atomic>
#include <type_traits>

/// Loops compiled for several vector units, of which the CPU that is met at run time has one.
///
/// A further unit takes: VectorUnit and vector_bytes, a RETRACE_... of its target, a run_on_... and
/// on_vector_unit, all here; of_cpu; kernels/micro_kernel.hpp, how many rows a tile has;
/// kernels/gemm.cpp, unit_for; and tests/support/vector_units.hpp, its name.
namespace retrace {

enum class VectorUnit { baseline, avx2, avx512 };
/// Length of its vectors in bytes.
constexpr int vector_bytes(VectorUnit unit) { return 16 << static_cast<int>(unit); }

namespace detail {
extern std::atomic<VectorUnit> vector_unit_in_use;
}

/// What is used: the best the CPU has, unless it was limited.
inline VectorUnit vector_unit() {
  return detail::vector_unit_in_use.load(std::memory_order_relaxed);
}
/// Sets the best that may be used in this process; for tests and measurements.
void limit_vector_unit(VectorUnit most);

#if defined(__x86_64__) && defined(__GNUC__)
#define RETRACE_X86 1
#define RETRACE_AVX2 __attribute__((target("avx2,fma")))
#ifndef RETRACE_AVX512  // a test compiles the longest vectors for AVX2
#define RETRACE_AVX512 __attribute__((target("avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")))
#endif

namespace detail {
template <class F>
RETRACE_AVX2 void run_on_avx2(const F& f) {
  f(std::integral_constant<int, 32>());
}
template <class F>
RETRACE_AVX512 void run_on_avx512(const F& f) {
  f(std::integral_constant<int, 64>());
}
}  // namespace detail
#endif

/// A lambda for on_vector_unit has to be inlined into code compiled for the unit.
#define RETRACE_INLINE __attribute__((always_inline))

/// `Type`, a vector of as many T as fit in `Bytes`, which may lie wherever a T may.
template <class T, int Bytes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(Bytes), aligned(alignof(T)), may_alias));
};

/// Before a loop: its iterations are independent; one may write over what it reads itself.
#ifdef __clang__
#define RETRACE_INDEPENDENT  // its pragma for this warns wherever a loop has nothing to vectorise
#elif defined(__GNUC__)
#define RETRACE_INDEPENDENT _Pragma("GCC ivdep")
#else
#define RETRACE_INDEPENDENT
#endif

/// Calls f(bytes) in code compiled for `unit`, or the best below it up to `Most`: each unit is one
/// more copy of the code. f is a lambda marked RETRACE_INLINE; `bytes`, the length of the unit's
/// vectors, is a constant.
template <VectorUnit Most = VectorUnit::avx2, class F>
void on_vector_unit(const F& f, [[maybe_unused]] VectorUnit unit = vector_unit()) {
#if RETRACE_X86
  if constexpr (Most >= VectorUnit::avx512)
    if (unit >= VectorUnit::avx512) return detail::run_on_avx512(f);
  if constexpr (Most >= VectorUnit::avx2)
    if (unit >= VectorUnit::avx2) return detail::run_on_avx2(f);
#endif
  f(std::integral_constant<int, 16>());
}

}  // namespace retrace

#include "vector_math.hpp"

#include <atomic>
#include <cmath>

#include "../dtype.hpp"

#if RETRACE_HAVE_LIBMVEC
#include <immintrin.h>

// glibc's vector functions (libmvec) by their ABI names: 8 floats or 4 doubles at a time, within 4 ulp.
#define RETRACE_AVX2 __attribute__((target("avx2,fma")))
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
RETRACE_AVX2 __m256 _ZGVdN8v_tanhf(__m256);
RETRACE_AVX2 __m256d _ZGVdN4v_tanh(__m256d);
RETRACE_AVX2 __m256 _ZGVdN8v_expf(__m256);
RETRACE_AVX2 __m256d _ZGVdN4v_exp(__m256d);
}
// NOLINTEND(bugprone-reserved-identifier)
#endif

namespace retrace::vector_math {
namespace {

std::atomic<bool> allowed{true};

template <class T>
T stable_sigmoid(T x) {
  const T e = std::exp(-std::abs(x));  // never overflows
  return (x < 0 ? e : 1) / (1 + e);
}

#if RETRACE_HAVE_LIBMVEC
bool vector_unit() {
  static const bool present = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return present && allowed.load(std::memory_order_relaxed);
}

/// Eight floats or four doubles.
struct Floats {
  using Value = float;
  using Vector = __m256;
  static constexpr int lanes = 8;
  RETRACE_AVX2 static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  RETRACE_AVX2 static void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
  RETRACE_AVX2 static Vector tanh(Vector v) { return _ZGVdN8v_tanhf(v); }
  RETRACE_AVX2 static Vector exp(Vector v) { return _ZGVdN8v_expf(v); }
  RETRACE_AVX2 static Vector sigmoid(Vector v) {
    const Vector one = _mm256_set1_ps(1), sign = _mm256_set1_ps(-0.0F);
    const Vector e = _ZGVdN8v_expf(_mm256_or_ps(v, sign));  // exp(-|v|)
    const Vector top = _mm256_blendv_ps(one, e, v);
    return _mm256_div_ps(top, _mm256_add_ps(one, e));
  }
};
struct Doubles {
  using Value = double;
  using Vector = __m256d;
  static constexpr int lanes = 4;
  RETRACE_AVX2 static Vector load(const double* p) { return _mm256_loadu_pd(p); }
  RETRACE_AVX2 static void store(double* p, Vector v) { _mm256_storeu_pd(p, v); }
  RETRACE_AVX2 static Vector tanh(Vector v) { return _ZGVdN4v_tanh(v); }
  RETRACE_AVX2 static Vector exp(Vector v) { return _ZGVdN4v_exp(v); }
  RETRACE_AVX2 static Vector sigmoid(Vector v) {
    const Vector one = _mm256_set1_pd(1), sign = _mm256_set1_pd(-0.0);
    const Vector e = _ZGVdN4v_exp(_mm256_or_pd(v, sign));
    const Vector top = _mm256_blendv_pd(one, e, v);
    return _mm256_div_pd(top, _mm256_add_pd(one, e));
  }
};
template <class T>
using Lanes = std::conditional_t<std::is_same_v<T, float>, Floats, Doubles>;

/// The rest of the array goes through the same function, so that a value does not depend on its place.
template <class L, typename L::Vector (*Function)(typename L::Vector)>
RETRACE_AVX2 void in_lanes(const typename L::Value* from, typename L::Value* to, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + L::lanes <= n; i += L::lanes) L::store(to + i, Function(L::load(from + i)));
  if (i == n) return;
  typename L::Value rest[L::lanes] = {};
  for (std::int64_t j = i; j < n; ++j) rest[j - i] = from[j];
  L::store(rest, Function(L::load(rest)));
  for (std::int64_t j = i; j < n; ++j) to[j] = rest[j - i];
}
#define RETRACE_IN_LANES(function)                       \
  if (vector_unit()) {                                   \
    in_lanes<Lanes<T>, Lanes<T>::function>(from, to, n); \
    return;                                              \
  }
#else
bool vector_unit() { return false; }
#define RETRACE_IN_LANES(function)
#endif

template <class T>
void tanh_of(const T* from, T* to, std::int64_t n) {
  RETRACE_IN_LANES(tanh)
  for (std::int64_t i = 0; i < n; ++i) to[i] = std::tanh(from[i]);
}
template <class T>
void exp_of(const T* from, T* to, std::int64_t n) {
  RETRACE_IN_LANES(exp)
  for (std::int64_t i = 0; i < n; ++i) to[i] = std::exp(from[i]);
}
template <class T>
void sigmoid_of(const T* from, T* to, std::int64_t n) {
  RETRACE_IN_LANES(sigmoid)
  for (std::int64_t i = 0; i < n; ++i) to[i] = stable_sigmoid(from[i]);
}

}  // namespace

void tanh(const float* from, float* to, std::int64_t n) { tanh_of(from, to, n); }
void tanh(const double* from, double* to, std::int64_t n) { tanh_of(from, to, n); }
void exp(const float* from, float* to, std::int64_t n) { exp_of(from, to, n); }
void exp(const double* from, double* to, std::int64_t n) { exp_of(from, to, n); }
void sigmoid(const float* from, float* to, std::int64_t n) { sigmoid_of(from, to, n); }
void sigmoid(const double* from, double* to, std::int64_t n) { sigmoid_of(from, to, n); }

void allow_vector_unit(bool value) { allowed.store(value, std::memory_order_relaxed); }
bool uses_vector_unit() { return vector_unit(); }

}  // namespace retrace::vector_math

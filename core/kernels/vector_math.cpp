#include "vector_math.hpp"

#include <algorithm>
#include <cmath>

#include "../dtype.hpp"
#include "../vector_unit.hpp"

#if RETRACE_HAVE_LIBMVEC
#include <immintrin.h>

// glibc's vector functions (libmvec) by their ABI names: 8 floats or 4 doubles at a time, within 4 ulp.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
RETRACE_AVX2 __m256d _ZGVdN4v_tanh(__m256d);
RETRACE_AVX2 __m256 _ZGVdN8v_expf(__m256);
RETRACE_AVX2 __m256d _ZGVdN4v_exp(__m256d);
}
// NOLINTEND(bugprone-reserved-identifier)
#endif

namespace retrace::vector_math {
namespace {

/// x = tanh(x) for a vector of floats by a rational function of degrees 13 and 6, as in Eigen and XLA: within 5.4 ulp.
/// As vectors, because compilers turn the same loop over floats into branches.
template <int Bytes>
RETRACE_INLINE inline void rational_tanh(typename VectorOf<float, Bytes>::Type& x) {
  using Vector = typename VectorOf<float, Bytes>::Type;
  constexpr float end = 7.90531110763549805F, one_from = 9.02F;
  const Vector one = Vector{} + 1;
  Vector v = x > end ? end * one : x;
  v = v < -end ? -end * one : v;
  const Vector s = v * v;
  Vector p = s * -2.76076847742355e-16F + 2.00018790482477e-13F;
  p = p * s + -8.60467152213735e-11F;
  p = p * s + 5.12229709037114e-08F;
  p = p * s + 1.48572235717979e-05F;
  p = p * s + 6.37261928875436e-04F;
  p = p * s + 4.89352455891786e-03F;
  Vector q = s * 1.19825839466702e-06F + 1.18534705686654e-04F;
  q = q * s + 2.26843463243900e-03F;
  q = q * s + 4.89352518554385e-03F;
  v = v * (p / q);  // in this order nothing falls below the normal numbers
  v = x > one_from ? one : v;
  x = x < -one_from ? -one : v;
}

template <int Bytes>
RETRACE_INLINE inline void tanh_by(const float* from, float* to, std::int64_t n) {
  using Vector = typename VectorOf<float, Bytes>::Type;
  constexpr std::int64_t lanes = Bytes / sizeof(float);
  std::int64_t i = 0;
  Vector v{};
  for (; i + lanes <= n; i += lanes) {
    v = *reinterpret_cast<const Vector*>(from + i);
    rational_tanh<Bytes>(v);
    *reinterpret_cast<Vector*>(to + i) = v;
  }
  if (i == n) return;
  std::copy_n(from + i, n - i, reinterpret_cast<float*>(&v));
  rational_tanh<Bytes>(v);
  std::copy_n(reinterpret_cast<const float*>(&v), n - i, to + i);
}

template <class T>
T stable_sigmoid(T x) {
  const T e = std::exp(-std::abs(x));  // never overflows
  return (x < 0 ? e : 1) / (1 + e);
}

#if RETRACE_HAVE_LIBMVEC
/// Eight floats or four doubles.
struct Floats {
  using Value = float;
  using Vector = __m256;
  static constexpr int lanes = 8;
  RETRACE_AVX2 static Vector load(const float* p) { return _mm256_loadu_ps(p); }
  RETRACE_AVX2 static void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
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
  if (vector_unit() != VectorUnit::baseline) {           \
    in_lanes<Lanes<T>, Lanes<T>::function>(from, to, n); \
    return;                                              \
  }
#else
#define RETRACE_IN_LANES(function)
#endif

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

void tanh(const float* from, float* to, std::int64_t n) {
  // Without fused multiply-add the rational function is off by 6.4 ulp.
  if (vector_unit() == VectorUnit::baseline)
    for (std::int64_t i = 0; i < n; ++i) to[i] = std::tanh(from[i]);
  else
    on_vector_unit<VectorUnit::avx512>([&](auto bytes) RETRACE_INLINE { tanh_by<bytes>(from, to, n); });
}
void tanh(const double* from, double* to, std::int64_t n) {
  using T = double;
  RETRACE_IN_LANES(tanh)
  for (std::int64_t i = 0; i < n; ++i) to[i] = std::tanh(from[i]);
}
void exp(const float* from, float* to, std::int64_t n) { exp_of(from, to, n); }
void exp(const double* from, double* to, std::int64_t n) { exp_of(from, to, n); }
void sigmoid(const float* from, float* to, std::int64_t n) { sigmoid_of(from, to, n); }
void sigmoid(const double* from, double* to, std::int64_t n) { sigmoid_of(from, to, n); }

}  // namespace retrace::vector_math

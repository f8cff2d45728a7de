#include "vector_math.hpp"

#include <algorithm>
#include <cmath>

#include "../vector_unit.hpp"

#if RETRACE_HAVE_LIBMVEC
#include <immintrin.h>

// glibc's vector functions (libmvec) by their ABI names: 8 floats or 4 doubles at a time, within 4
// ulp. NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
RETRACE_AVX2 __m256d _ZGVdN4v_tanh(__m256d);
RETRACE_AVX2 __m256 _ZGVdN8v_expf(__m256);
RETRACE_AVX2 __m256d _ZGVdN4v_exp(__m256d);
}
// NOLINTEND(bugprone-reserved-identifier)
#endif

namespace retrace::vector_math {
namespace {

/// tanh of a vector of floats by a rational function of degrees 13 and 6, as in Eigen and XLA:
/// within 5.4 ulp. As vectors, because compilers turn the same loop over floats into branches. By
/// address, because to Clang a reference to a vector promises the alignment of a whole one.
template <int Bytes>
struct RationalTanh {
  RETRACE_INLINE inline void operator()(const float* from, float* to) const {
    using Vector = typename VectorOf<float, Bytes>::Type;
    constexpr float end = 7.90531110763549805F, one_from = 9.02F;
    const Vector one = Vector{} + 1, x = *reinterpret_cast<const Vector*>(from);
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
    *reinterpret_cast<Vector*>(to) = x < -one_from ? -one : v;
  }
};

/// f(from, to) for every vector of `Bytes`. The rest of the array goes through f too, so that a
/// value does not depend on its place.
template <int Bytes, class T, class F>
RETRACE_INLINE inline void in_vectors(const T* from, T* to, std::int64_t n, const F& f) {
  constexpr std::int64_t lanes = Bytes / sizeof(T);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(from + i, to + i);
  if (i == n) return;
  T rest[lanes] = {};
  std::copy_n(from + i, n - i, rest);
  f(rest, rest);
  std::copy_n(rest, n - i, to + i);
}

template <class T>
T stable_sigmoid(T x) {
  const T e = std::exp(-std::abs(x));  // never overflows
  return (x < 0 ? e : 1) / (1 + e);
}

#if RETRACE_HAVE_LIBMVEC
struct Tanh {
  RETRACE_AVX2 void operator()(const double* from, double* to) const {
    _mm256_storeu_pd(to, _ZGVdN4v_tanh(_mm256_loadu_pd(from)));
  }
};
struct Exp {
  RETRACE_AVX2 void operator()(const float* from, float* to) const {
    _mm256_storeu_ps(to, _ZGVdN8v_expf(_mm256_loadu_ps(from)));
  }
  RETRACE_AVX2 void operator()(const double* from, double* to) const {
    _mm256_storeu_pd(to, _ZGVdN4v_exp(_mm256_loadu_pd(from)));
  }
};
struct Sigmoid {
  template <class T>
  RETRACE_AVX2 void operator()(const T* from, T* to) const {
    using Vector = typename VectorOf<T, 32>::Type;
    const Vector zero{}, one = zero + 1, v = *reinterpret_cast<const Vector*>(from);
    Vector e = v < zero ? v : -v;
    Exp()(reinterpret_cast<const T*>(&e), reinterpret_cast<T*>(&e));
    *reinterpret_cast<Vector*>(to) = (v < zero ? e : one) / (one + e);
  }
};
template <class F, class T>
RETRACE_AVX2 void in_avx2(const T* from, T* to, std::int64_t n) {
  in_vectors<32>(from, to, n, F());
}
constexpr bool have_libmvec = true;
#else
struct Tanh;
struct Exp;
struct Sigmoid;
template <class F, class T>
void in_avx2(const T*, T*, std::int64_t) {}
constexpr bool have_libmvec = false;
#endif

/// By F where there is libmvec and a CPU for it, otherwise one by one.
template <class F, class T, class One>
void by_libmvec(const T* from, T* to, std::int64_t n, One one) {
  if (have_libmvec && vector_unit() != VectorUnit::baseline) return in_avx2<F>(from, to, n);
  for (std::int64_t i = 0; i < n; ++i) to[i] = one(from[i]);
}
template <class T>
void exp_of(const T* from, T* to, std::int64_t n) {
  by_libmvec<Exp>(from, to, n, [](T v) { return std::exp(v); });
}

}  // namespace

void tanh(const float* from, float* to, std::int64_t n) {
  // Without fused multiply-add the rational function is off by 6.4 ulp.
  if (vector_unit() == VectorUnit::baseline)
    for (std::int64_t i = 0; i < n; ++i) to[i] = std::tanh(from[i]);
  else
    on_vector_unit<VectorUnit::avx512>(
        [&](auto bytes) RETRACE_INLINE { in_vectors<bytes>(from, to, n, RationalTanh<bytes>()); });
}
void tanh(const double* from, double* to, std::int64_t n) {
  by_libmvec<Tanh>(from, to, n, [](double v) { return std::tanh(v); });
}
void exp(const float* from, float* to, std::int64_t n) { exp_of(from, to, n); }
void exp(const double* from, double* to, std::int64_t n) { exp_of(from, to, n); }
void sigmoid(const float* from, float* to, std::int64_t n) {
  by_libmvec<Sigmoid>(from, to, n, stable_sigmoid<float>);
}
void sigmoid(const double* from, double* to, std::int64_t n) {
  by_libmvec<Sigmoid>(from, to, n, stable_sigmoid<double>);
}

}  // namespace retrace::vector_math

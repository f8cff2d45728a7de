#include "vector_math.hpp"

#include <algorithm>
#include <cmath>

#include "../vector_unit.hpp"

#if RETRACE_HAVE_LIBMVEC
#include <immintrin.h>

// glibc's vector functions (libmvec) by their ABI names: 8 floats or 4 doubles, within 4 ulp.

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

// Each function has `of` for one number and, up to the unit `most`, a form for a vector of as many
// bytes as that unit's have. It takes addresses, because to Clang a reference to a vector promises
// the alignment of a whole one.

/// tanh of floats by a rational function of degrees 13 and 6, as in Eigen and XLA: within 5.4 ulp.
/// As vectors, because compilers turn the same loop over floats into branches. Without fused
/// multiply-add it is off by 6.4 ulp.
struct RationalTanh {
  static constexpr VectorUnit most = VectorUnit::avx512;

  static float of(float x) { return std::tanh(x); }
  template <class Bytes>
  RETRACE_INLINE inline void operator()(Bytes, const float* from, float* to) const {
    using Vector = typename VectorOf<float, Bytes::value>::Type;
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

#if RETRACE_HAVE_LIBMVEC
constexpr VectorUnit unit_of_libmvec = VectorUnit::avx2;
RETRACE_AVX2 void tanh_of_vector(const double* from, double* to) {
  _mm256_storeu_pd(to, _ZGVdN4v_tanh(_mm256_loadu_pd(from)));
}
RETRACE_AVX2 void exp_of_vector(const float* from, float* to) {
  _mm256_storeu_ps(to, _ZGVdN8v_expf(_mm256_loadu_ps(from)));
}
RETRACE_AVX2 void exp_of_vector(const double* from, double* to) {
  _mm256_storeu_pd(to, _ZGVdN4v_exp(_mm256_loadu_pd(from)));
}
#else
constexpr VectorUnit unit_of_libmvec = VectorUnit::baseline;
#endif

struct Tanh {
  static constexpr VectorUnit most = unit_of_libmvec;

  static double of(double x) { return std::tanh(x); }
  template <class Bytes, class T>
  RETRACE_INLINE inline void operator()(Bytes, const T* from, T* to) const {
    tanh_of_vector(from, to);
  }
};

struct Exp {
  static constexpr VectorUnit most = unit_of_libmvec;

  template <class T>
  static T of(T x) {
    return std::exp(x);
  }
  template <class Bytes, class T>
  RETRACE_INLINE inline void operator()(Bytes, const T* from, T* to) const {
    exp_of_vector(from, to);
  }
};

/// By exp(-|x|), which never overflows.
struct Sigmoid {
  static constexpr VectorUnit most = unit_of_libmvec;

  template <class T>
  static T of(T x) {
    const T e = std::exp(-std::abs(x));
    return (x < 0 ? e : 1) / (1 + e);
  }
  template <class Bytes, class T>
  RETRACE_INLINE inline void operator()(Bytes, const T* from, T* to) const {
    using Vector = typename VectorOf<T, Bytes::value>::Type;
    const Vector zero{}, one = zero + 1, v = *reinterpret_cast<const Vector*>(from);
    Vector e = v < zero ? v : -v;
    exp_of_vector(reinterpret_cast<const T*>(&e), reinterpret_cast<T*>(&e));
    *reinterpret_cast<Vector*>(to) = (v < zero ? e : one) / (one + e);
  }
};

/// The function of every element. What is left after whole vectors goes through a vector too, so
/// that a value does not depend on its index.
template <class F, class T>
void apply(const T* from, T* to, std::int64_t n) {
  const auto loop = [=](auto bytes) RETRACE_INLINE {
    if constexpr (bytes == vector_bytes(VectorUnit::baseline)) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = F::of(from[i]);
    } else {
      constexpr std::int64_t lanes = bytes / sizeof(T);
      std::int64_t i = 0;
      for (; i + lanes <= n; i += lanes) F()(bytes, from + i, to + i);
      if (i == n) return;
      T rest[lanes] = {};
      std::copy_n(from + i, n - i, rest);
      F()(bytes, rest, rest);
      std::copy_n(rest, n - i, to + i);
    }
  };
  on_vector_unit<F::most>(loop);
}

}  // namespace

void tanh(const float* from, float* to, std::int64_t n) { apply<RationalTanh>(from, to, n); }
void tanh(const double* from, double* to, std::int64_t n) { apply<Tanh>(from, to, n); }
void exp(const float* from, float* to, std::int64_t n) { apply<Exp>(from, to, n); }
void exp(const double* from, double* to, std::int64_t n) { apply<Exp>(from, to, n); }
void sigmoid(const float* from, float* to, std::int64_t n) { apply<Sigmoid>(from, to, n); }
void sigmoid(const double* from, double* to, std::int64_t n) { apply<Sigmoid>(from, to, n); }

}  // namespace retrace::vector_math

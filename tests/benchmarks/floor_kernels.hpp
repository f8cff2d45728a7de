#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

/// Products and tanh for the hand-written floor, for the CPU that they are compiled on
/// (-march=native) and with -ffast-math. All matrices are row-major; the columns of results are
/// padded to whole vectors.
namespace floor_kernels {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, most_rows = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, most_rows = 6;
#else
constexpr int vector_bytes = 16, most_rows = 4;
#endif

/// Elements of the vectors that n columns are computed with: the widest ones that n fills.
template <class R>
inline int vector_length(int n) {
  constexpr int widest = vector_bytes / sizeof(R), narrowest = 16 / sizeof(R);
  return std::clamp(static_cast<int>(std::bit_ceil(static_cast<unsigned>(n))), narrowest, widest);
}
template <class R>
inline int padded(int n) {
  const int length = vector_length<R>(n);
  return (n + length - 1) / length * length;
}

template <class R, int Length>
struct VectorOf {
  typedef R Type __attribute__((vector_size(Length * sizeof(R))));
};

/// c [Rows, Vectors * Length] (+)= a [Rows, k] b [k, Vectors * Length], c in registers. The
/// elements of a are `row` and `column` apart. Few accumulators are split over k, or each would
/// wait for its last addition.
template <class R, int Length, int Rows, int Vectors>
void tile(int k, const R* a, std::ptrdiff_t row, std::ptrdiff_t column, const R* b,
          std::ptrdiff_t ldb, bool add, R* c, std::ptrdiff_t ldc) {
  using V = typename VectorOf<R, Length>::Type;
  constexpr int parts = Rows * Vectors >= 8 ? 1 : Rows * Vectors >= 4 ? 2 : 4;
  V sum[parts][Rows][Vectors] = {};
  const auto multiply = [&](int part, int p) __attribute__((always_inline)) {
    V right[Vectors];
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) std::memcpy(&right[j], b + p * ldb + j * Length, sizeof(V));
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const R left = a[i * row + p * column];
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j) sum[part][i][j] += left * right[j];
    }
  };
  int p = 0;
  for (; p + parts <= k; p += parts) {
#pragma GCC unroll 4
    for (int part = 0; part < parts; ++part) multiply(part, p + part);
  }
  for (; p < k; ++p) multiply(0, p);
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) {
      R* to = c + i * ldc + j * Length;
      V total = sum[0][i][j];
#pragma GCC unroll 4
      for (int part = 1; part < parts; ++part) total += sum[part][i][j];
      if (add) {
        V before;
        std::memcpy(&before, to, sizeof(V));
        total += before;
      }
      std::memcpy(to, &total, sizeof(V));
    }
}

/// The same for any number of rows, most_rows at a time.
template <class R, int Length, int Vectors, int Rows = most_rows>
[[gnu::always_inline]] inline void tiles(int m, int k, const R* a, std::ptrdiff_t row,
                                         std::ptrdiff_t column, const R* b, std::ptrdiff_t ldb,
                                         bool add, R* c, std::ptrdiff_t ldc) {
  if (m == 1) return tile<R, Length, 1, Vectors>(k, a, row, column, b, ldb, add, c, ldc);
  for (; m >= Rows; m -= Rows, a += Rows * row, c += Rows * ldc)
    tile<R, Length, Rows, Vectors>(k, a, row, column, b, ldb, add, c, ldc);
  if constexpr (Rows > 1) {
    if (m > 0) tiles<R, Length, Vectors, Rows - 1>(m, k, a, row, column, b, ldb, add, c, ldc);
  }
}

/// Calls f(std::integral_constant<int, length>) for a length that vector_length gives.
template <class R, class F>
[[gnu::always_inline]] inline void with_length(int length, F f) {
  if constexpr (vector_bytes >= 64)
    if (length * sizeof(R) == 64) return f(std::integral_constant<int, 64 / sizeof(R)>());
  if constexpr (vector_bytes >= 32)
    if (length * sizeof(R) == 32) return f(std::integral_constant<int, 32 / sizeof(R)>());
  f(std::integral_constant<int, 16 / sizeof(R)>());
}

constexpr int deep = 256;  // rows of a panel that stay in the nearest cache
constexpr int high = 96;   // rows of the left operand likewise

/// A right-hand operand [k, n] laid out in panels of two vectors' width, to be used many times.
template <class R>
class Packed {
 public:
  /// w [k, n], or its transpose [n, k], `width` apart.
  void prepare(bool transposed, int k, int n, const R* w, int width) {
    k_ = k, n_ = padded<R>(n), length_ = vector_length<R>(n);
    panels_.resize(static_cast<std::size_t>(k) * n_);
    R* to = panels_.data();
    for (int left = 0; left < n_; left += 2 * length_) {
      const int columns = std::min(2 * length_, n_ - left), filled = std::min(columns, n - left);
      if (transposed)
        for (int j = 0; j < filled; ++j)
          for (int p = 0; p < k; ++p) to[p * columns + j] = w[(left + j) * width + p];
      else
        for (int p = 0; p < k; ++p) std::copy_n(w + p * width + left, filled, to + p * columns);
      for (int p = 0; filled < columns && p < k; ++p)
        std::fill(to + p * columns + filled, to + (p + 1) * columns, R(0));
      to += static_cast<std::ptrdiff_t>(k) * columns;
    }
  }
  /// c [m, n] (+)= a [m, k] w
  void multiply(int m, const R* a, int lda, bool add, R* c, int ldc) const {
    with_length<R>(length_, [&](auto length) {
      constexpr int wide = 2 * length;
      for (int top = 0; top < m; top += high)
        for (int p = 0; p < k_; p += deep)
          for (int left = 0; left < n_; left += wide) {
            const int rows = std::min(high, m - top), some = std::min(deep, k_ - p);
            const R *from = a + static_cast<std::ptrdiff_t>(top) * lda + p,
                    *panel = panels_.data() + left * k_;
            R* to = c + static_cast<std::ptrdiff_t>(top) * ldc + left;
            if (n_ - left >= wide)
              tiles<R, length, 2>(rows, some, from, lda, 1, panel + p * wide, wide, add || p > 0,
                                  to, ldc);
            else
              tiles<R, length, 1>(rows, some, from, lda, 1, panel + p * length, length,
                                  add || p > 0, to, ldc);
          }
    });
  }

 private:
  int k_ = 0, n_ = 0, length_ = 0;
  std::vector<R> panels_;
};

/// c [m, n] (+)= a b or a^T b with b as it lies, gathered where that pays; n is padded.
template <class R>
void multiply(bool transposed, int m, int n, int k, const R* a, int lda, const R* b, int ldb,
              bool add, R* c, int ldc) {
  const std::ptrdiff_t row = transposed ? 1 : lda, column = transposed ? lda : 1;
  with_length<R>(vector_length<R>(n), [&](auto length) {
    constexpr int wide = 2 * length;
    R panel[deep * wide];
    for (int p = 0; p < k; p += deep)
      for (int left = 0; left < n; left += wide) {
        const int some = std::min(deep, k - p), columns = std::min(wide, n - left);
        const R *from = a + p * column, *right = b + static_cast<std::ptrdiff_t>(p) * ldb + left;
        int apart = ldb;
        if (m >= 24 && n > wide) {
          for (int q = 0; q < some; ++q)
            std::copy_n(right + static_cast<std::ptrdiff_t>(q) * ldb, columns, panel + q * columns);
          right = panel, apart = columns;
        }
        if (columns == wide)
          tiles<R, length, 2>(m, some, from, row, column, right, apart, add || p > 0, c + left,
                              ldc);
        else
          tiles<R, length, 1>(m, some, from, row, column, right, apart, add || p > 0, c + left,
                              ldc);
      }
  });
}

inline double tanh(double x) { return std::tanh(x); }
/// The rational approximation of Eigen and XLA: odd of degree 13 over even of degree 6, within 5.4
/// ulp.
inline float tanh(float x) {
  constexpr float above[] = {-2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f,
                             5.12229709037114e-08f,  1.48572235717979e-05f, 6.37261928875436e-04f,
                             4.89352455891786e-03f};
  constexpr float below[] = {1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f,
                             4.89352518554385e-03f};
  constexpr float end = 7.90531110763549805f;
  x = x > end ? end : x;
  x = x < -end ? -end : x;
  const float square = x * x;
  float p = 0, q = 0;
  for (const float c : above) p = p * square + c;
  for (const float c : below) q = q * square + c;
  return x * p / q;
}

}  // namespace floor_kernels

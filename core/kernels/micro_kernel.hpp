#pragma once

#include <algorithm>
#include <utility>

#include "gemm.hpp"

/// Products of blocks that fit the caches, written once for vectors of any width. Everything is
/// inlined into a caller that is compiled for a unit with vectors of `Bytes`.
namespace retrace::kernels {

/// Rows of a tile, which is two vectors wide: as many as leave registers for two vectors of b and
/// one of a. 28 of 32, or 12 of 16, hold sums.
constexpr int most_rows(int vector_bytes) { return vector_bytes == 64 ? 14 : 6; }
/// Rows of a block, a multiple of most_rows.
constexpr std::int64_t most_block_rows = 168;

template <class T, int Bytes>
struct MicroKernel {
  using Vector = typename VectorOf<T, Bytes>::Type;
  static constexpr std::int64_t lanes = Bytes / sizeof(T), width = 2 * lanes;

  /// c [Rows, Vectors * lanes] = its addend + a [Rows, k] b [k, Vectors * lanes], the sums in
  /// registers. Few sums are split over k, or each addition would wait for the one before.
  template <int Rows, int Vectors>
  RETRACE_INLINE static inline void tile(std::int64_t k, Matrix<const T> a, Panels<T> b,
                                         Result<T> c) {
    constexpr int parts = std::max(1, 4 / (Rows * Vectors));
    Vector sums[parts][Rows][Vectors] = {};
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) __builtin_prefetch(c.data + i * c.step + j * lanes, 1);
    const auto multiply = [&](int part, std::int64_t p) RETRACE_INLINE {
      Vector row[Vectors];
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j)
        row[j] = *reinterpret_cast<const Vector*>(b.data + p * b.row_step + j / 2 * b.panel_step +
                                                  j % 2 * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const T x = a(i, p);
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) sums[part][i][j] += x * row[j];
      }
    };
    std::int64_t p = 0;
    for (; p + parts <= k; p += parts) {
#pragma GCC unroll 4
      for (int part = 0; part < parts; ++part) multiply(part, p + part);
    }
    if constexpr (parts > 1)
      for (; p < k; ++p) multiply(0, p);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) {
        Vector sum = sums[0][i][j];
#pragma GCC unroll 4
        for (int part = 1; part < parts; ++part) sum += sums[part][i][j];
        if (c.addend)
          sum += *reinterpret_cast<const Vector*>(c.addend + i * c.addend_step + j * lanes);
        *reinterpret_cast<Vector*>(c.data + i * c.step + j * lanes) = sum;
      }
  }

  /// The same for a number of rows known only at run time, at most Most. One test after the other:
  /// written as a recursion, GCC takes what the tiles share out of them all, and spills it in the
  /// inner loops, which costs 4 % of the benchmark "medium".
  template <int Most, int Vectors>
  RETRACE_INLINE static inline void tile_of(std::int64_t rows, std::int64_t k, Matrix<const T> a,
                                            Panels<T> b, Result<T> c) {
    const auto if_rows = [&]<int Rows>() RETRACE_INLINE {
      if (rows == Rows) tile<Rows, Vectors>(k, a, b, c);
      return rows == Rows;
    };
    [&]<int... I>(std::integer_sequence<int, I...>) RETRACE_INLINE {
      (if_rows.template operator()<I + 1>() || ...);
    }
    (std::make_integer_sequence<int, Most>());
  }

  /// All rows against the first Vectors * lanes columns of the panel at b.
  template <int Vectors>
  RETRACE_INLINE static inline void tiles(std::int64_t m, std::int64_t k, Matrix<const T> a,
                                          Panels<T> b, Result<T> c) {
    constexpr int most = most_rows(Bytes);
    // Of nearly equal size: 16 rows are 8 + 8, not 14 + 2.
    for (std::int64_t left = (m + most - 1) / most, i = 0; left > 0; --left) {
      const std::int64_t rows = left == 1 ? m - i : (m - i + left - 1) / left;
      tile_of<most, Vectors>(rows, k, a.from(i, 0), b, c.from(i, 0));
      i += rows;
    }
  }

  /// c [m, columns], the edge of a result, from vectors that reach past its end.
  RETRACE_INLINE static inline void copy_edge(std::int64_t m, std::int64_t columns, const T* edge,
                                              Result<T> c) {
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        c.data[i * c.step + j] =
            edge[i * width + j] + (c.addend ? c.addend[i * c.addend_step + j] : 0);
  }

  /// All rows against the first `columns` columns of the panel at b.
  RETRACE_INLINE static inline void panel(std::int64_t m, std::int64_t columns, std::int64_t k,
                                          Matrix<const T> a, Panels<T> b, Result<T> c) {
    T edge[most_block_rows * width];
    const bool whole = columns % lanes == 0;
    const Result<T> to = whole ? c : Result<T>{edge, width};
    if (columns > lanes)
      tiles<2>(m, k, a, b, to);
    else
      tiles<1>(m, k, a, b, to);
    if (!whole) copy_edge(m, columns, edge, c);
  }

  /// c [m, n] = its addend + a [m, k] b [k, n] with m <= most_block_rows. Columns of b past n are
  /// read, up to the end of the vector they are in.
  RETRACE_INLINE static inline void block(std::int64_t m, std::int64_t n, std::int64_t k,
                                          Matrix<const T> a, Panels<T> b, Result<T> c) {
    // Few rows take more panels side by side, for sums enough to hide the time an addition takes.
    for (std::int64_t j = 0; j < n;) {
      const std::int64_t left = n - j;
      const Result<T> to = c.from(0, j);
      std::int64_t panels = 1;
      if (m == 1 && left >= 4 * width) {
        tile<1, 8>(k, a, b, to);
        panels = 4;
      } else if (m <= 3 && left >= 2 * width) {
        tile_of<3, 4>(m, k, a, b, to);
        panels = 2;
      } else {
        panel(m, std::min(width, left), k, a, b, to);
      }
      j += panels * width;
      b.data += panels * b.panel_step;
    }
  }
};

}  // namespace retrace::kernels

#pragma once

#include <algorithm>
#include <utility>

#include "../vector_unit.hpp"
#include "gemm.hpp"

/// Products of blocks that fit the caches, written once for vectors of any width. Everything is
/// inlined into a caller that is compiled for a unit with vectors of `Bytes`.
namespace retrace::kernels {

/// The right-hand matrix cut into panels of `width` columns: element (k, j) of panel p at
/// data[p * panel_step + k * row_step + j].
template <class T>
struct Panels {
  const T* data;
  std::int64_t row_step, panel_step;
};

template <class T>
RETRACE_INLINE inline Addend<T> moved(Addend<T> addend, std::int64_t rows, std::int64_t columns) {
  if (addend.data) addend.data += rows * addend.row_step + columns;
  return addend;
}

template <class T, int Bytes>
struct MicroKernel {
  using Vector = typename VectorOf<T, Bytes>::Type;
  static constexpr std::int64_t lanes = Bytes / sizeof(T), width = 2 * lanes;
  /// As many as leave registers for two vectors of b and one of a: 28 of 32, or 12 of 16, hold
  /// sums.
  static constexpr int most_rows = Bytes == 64 ? 14 : 6;

  /// c [Rows, Vectors * lanes] = addend + a [Rows, k] b [k, Vectors * lanes], the sums in
  /// registers.
  template <int Rows, int Vectors>
  RETRACE_INLINE static inline void tile(std::int64_t k, Matrix<const T> a, Panels<T> b,
                                         Addend<T> addend, T* c, std::int64_t ldc) {
    Vector sums[Rows][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) {
        sums[i][j] = Vector{};
        __builtin_prefetch(c + i * ldc + j * lanes, 1);
      }
    for (std::int64_t p = 0; p < k; ++p) {
      Vector row[Vectors];
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j)
        row[j] = *reinterpret_cast<const Vector*>(b.data + p * b.row_step + j / 2 * b.panel_step +
                                                  j % 2 * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const T x = a.data[i * a.row_step + p * a.column_step];
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) sums[i][j] += x * row[j];
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) {
        if (addend.data)
          sums[i][j] +=
              *reinterpret_cast<const Vector*>(addend.data + i * addend.row_step + j * lanes);
        *reinterpret_cast<Vector*>(c + i * ldc + j * lanes) = sums[i][j];
      }
  }

  /// The same for a number of rows known only at run time, at most Most.
  template <int Most, int Vectors>
  RETRACE_INLINE static inline void tile_of(std::int64_t rows, std::int64_t k, Matrix<const T> a,
                                            Panels<T> b, Addend<T> addend, T* c, std::int64_t ldc) {
    const auto if_rows = [&]<int Rows>() RETRACE_INLINE {
      if (rows == Rows) tile<Rows, Vectors>(k, a, b, addend, c, ldc);
      return rows == Rows;
    };
    [&]<int... I>(std::integer_sequence<int, I...>) RETRACE_INLINE {
      (if_rows.template operator()<I + 1>() || ...);
    }
    (std::make_integer_sequence<int, Most>());
  }

  /// All rows against the panel at b, whose first Vectors * lanes columns count.
  template <int Vectors>
  RETRACE_INLINE static inline void column(std::int64_t m, std::int64_t k, Matrix<const T> a,
                                           Panels<T> b, Addend<T> addend, T* c, std::int64_t ldc) {
    // Blocks of nearly equal size: 16 rows are 8 + 8, not 14 + 2.
    for (std::int64_t blocks = (m + most_rows - 1) / most_rows, i = 0; blocks > 0; --blocks) {
      const std::int64_t rows = blocks == 1 ? m - i : (m - i + blocks - 1) / blocks;
      tile_of<most_rows, Vectors>(rows, k, {a.data + i * a.row_step, a.row_step, a.column_step}, b,
                                  moved(addend, i, 0), c + i * ldc, ldc);
      i += rows;
    }
  }

  static constexpr std::int64_t most_block_rows = 168;  // of a block, a multiple of most_rows

  /// c [m, n] = addend + a [m, k] b [k, n] with m <= most_block_rows. Columns of b past n are read,
  /// up to the end of the vector they are in.
  RETRACE_INLINE static inline void block(std::int64_t m, std::int64_t n, std::int64_t k,
                                          Matrix<const T> a, Panels<T> b, Addend<T> addend, T* c,
                                          std::int64_t ldc) {
    // Few rows: more panels side by side, so that there are enough sums to hide the time an
    // addition takes.
    for (std::int64_t j = 0; j < n;) {
      if (m == 1 && n - j >= 4 * width) {
        tile<1, 8>(k, a, b, moved(addend, 0, j), c + j, ldc);
        j += 4 * width;
        b.data += 4 * b.panel_step;
        continue;
      }
      if (m <= 3 && n - j >= 2 * width) {
        tile_of<3, 4>(m, k, a, b, moved(addend, 0, j), c + j, ldc);
        j += 2 * width;
        b.data += 2 * b.panel_step;
        continue;
      }
      const std::int64_t columns = std::min(width, n - j);
      const bool whole =
          columns % lanes == 0;  // else through a buffer, since the vectors reach past the end of c
      T edge[most_block_rows * width];
      T* to = whole ? c + j : edge;
      const std::int64_t step = whole ? ldc : width;
      const Addend<T> added = moved(addend, 0, j);
      if (columns > lanes)
        column<2>(m, k, a, b, whole ? added : Addend<T>{}, to, step);
      else
        column<1>(m, k, a, b, whole ? added : Addend<T>{}, to, step);
      for (std::int64_t i = 0; !whole && i < m; ++i)
        for (std::int64_t q = 0; q < columns; ++q)
          c[i * ldc + j + q] =
              edge[i * width + q] + (added.data ? added.data[i * added.row_step + q] : 0);
      j += columns;
      b.data += b.panel_step;
    }
  }
};

}  // namespace retrace::kernels

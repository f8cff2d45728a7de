#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "../vector_unit.hpp"

/// Matrix products on plain arrays.
namespace retrace::kernels {

/// A matrix as it lies in memory: element (i, j) at data[i * row_step + j * column_step].
template <class T>
struct Matrix {
  T* data;
  std::int64_t row_step, column_step;

  T& operator()(std::int64_t i, std::int64_t j) const {
    return data[i * row_step + j * column_step];
  }
  /// The part from element (i, j) on; its data is null if the matrix has no elements.
  Matrix from(std::int64_t i, std::int64_t j) const {
    return {data ? &(*this)(i, j) : nullptr, row_step, column_step};
  }
};

/// a [m, k] times b [k, n]. One of the two steps of each should be 1; anything else costs time.
template <class T>
struct Factors {
  Matrix<const T> a, b;
  std::int64_t k;
  const T* packed_b = nullptr;  ///< what `pack` made of b, if at hand
};

/// Where a product goes, rows `step` apart, and what it is added to, rows `addend_step` apart: a
/// step of 0 repeats one row. The addend may be the result itself, or null for none.
template <class T>
struct Result {
  T* data;
  std::int64_t step;
  const T* addend = nullptr;
  std::int64_t addend_step = 0;

  Result from(std::int64_t i, std::int64_t j) const {
    return {data + i * step + j, step, addend ? addend + i * addend_step + j : nullptr,
            addend_step};
  }
};

/// c [m, n] = its addend + the sum of a b over the list, which is one long product of the factors
/// side by side.
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::span<const Factors<T>> list, const Result<T>& c);

/// The right-hand matrix cut into panels of columns: element (k, j) of panel p at
/// data[p * panel_step + k * row_step + j].
template <class T>
struct Panels {
  const T* data;
  std::int64_t row_step, panel_step;
};

/// How a product is computed.
template <class T>
struct Plan {
  VectorUnit unit;  // whose vectors are used
  enum class By { loops_or_blas, one_block, blocks } by = By::loops_or_blas;
  bool copies_a = false, reads_packed = false;
  Panels<T> b{};  // null data if b is copied into panels
};

/// What gemm does, in two steps: the first decides, for the vector unit in use.
template <class T>
Plan<T> plan(std::int64_t m, std::int64_t n, std::span<const Factors<T>> list);
template <class T>
void gemm(const Plan<T>& plan, std::int64_t m, std::int64_t n, std::span<const Factors<T>> list,
          const Result<T>& c);

/// Writes b [k, n] to `to` in the order in which products read it best, for a b that is used again
/// and again. Valid for the vector unit in use.
template <class T>
void pack(std::int64_t k, std::int64_t n, Matrix<const T> b, T* to);
/// How many elements that takes, each of element_bytes; 0 where b is best read as it lies.
std::int64_t packed_size(std::int64_t k, std::int64_t n, std::size_t element_bytes);

}  // namespace retrace::kernels

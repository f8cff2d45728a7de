#pragma once

#include <cstdint>
#include <span>

/// Matrix products on plain arrays.
namespace retrace::kernels {

/// A matrix as it lies in memory: element (i, j) at data[i * row_step + j * column_step].
template <class T>
struct Matrix {
  T* data;
  std::int64_t row_step, column_step;
};

/// a [m, k] times b [k, n]. For both one of the two steps must be 1; anything else costs time.
template <class T>
struct Factors {
  Matrix<const T> a, b;
  std::int64_t k;
  const T* packed_b = nullptr;  ///< what `pack` made of b, if at hand
};

/// What a product is added to: element (i, j) at data[i * row_step + j]; a step of 0 repeats one
/// row. It may be the result's own place. Without data, nothing.
template <class T>
struct Addend {
  const T* data = nullptr;
  std::int64_t row_step = 0;
};

/// c = addend + the sum of a b over the list, which is one long product of the factors side by
/// side. c [m, n] is row-major with rows `ldc` apart.
void gemm(std::int64_t m, std::int64_t n, std::span<const Factors<float>> list,
          Addend<float> addend, float* c, std::int64_t ldc);
void gemm(std::int64_t m, std::int64_t n, std::span<const Factors<double>> list,
          Addend<double> addend, double* c, std::int64_t ldc);

/// b [k, n] in the order in which products with m rows read it best, for a b that is used again and
/// again; its size in elements, or 0 where b is best read as it lies. Good for products on the
/// vector unit in use.
template <class T>
std::int64_t packed_size(std::int64_t k, std::int64_t n);
template <class T>
void pack(std::int64_t k, std::int64_t n, Matrix<const T> b, T* to);

}  // namespace retrace::kernels

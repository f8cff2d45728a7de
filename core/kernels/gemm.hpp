#pragma once

#include <cstdint>

/// Matrix products on plain arrays.
namespace retrace::kernels {

/// A matrix as it lies in memory: element (i, j) at data[i * row_step + j * column_step].
template <class T>
struct Matrix {
  T* data;
  std::int64_t row_step, column_step;
};

/// c = a b + beta c, with a [m, k], b [k, n] and c [m, n]; c is row-major with rows `ldc` apart. beta = 0 does not read
/// c. For a and b one of the two steps must be 1; anything else costs a copy.
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const float> a, Matrix<const float> b, float beta,
          float* c, std::int64_t ldc);
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const double> a, Matrix<const double> b, double beta,
          double* c, std::int64_t ldc);

}  // namespace retrace::kernels

#include "gemm.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "../error.hpp"

// The two functions of the CBLAS interface that are used; declared here because where cblas.h lies differs by system.
extern "C" {
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc);
void cblas_dgemm(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double* a, int lda,
                 const double* b, int ldb, double beta, double* c, int ldc);
}

namespace retrace::kernels {
namespace {

constexpr int row_major = 101, no_trans = 111, trans = 112;

void blas(int ta, int tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb, float beta, float* c,
          int ldc) {
  cblas_sgemm(row_major, ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}
void blas(int ta, int tb, int m, int n, int k, const double* a, int lda, const double* b, int ldb, double beta,
          double* c, int ldc) {
  cblas_dgemm(row_major, ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

/// Below this many multiplications a call of a BLAS costs more than the product.
constexpr std::int64_t loops_up_to = 4096;

template <class T>
void loops(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const T> a, Matrix<const T> b, T beta, T* c,
           std::int64_t ldc) {
  for (std::int64_t i = 0; i < m; ++i) {
    T* row = c + i * ldc;
    if (beta == 0)
      std::fill_n(row, n, T{0});
    else if (beta != 1)
      for (std::int64_t j = 0; j < n; ++j) row[j] *= beta;
    if (b.column_step == 1) {
      for (std::int64_t p = 0; p < k; ++p) {
        const T x = a.data[i * a.row_step + p * a.column_step];
        const T* from = b.data + p * b.row_step;
        for (std::int64_t j = 0; j < n; ++j) row[j] += x * from[j];
      }
    } else {
      for (std::int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (std::int64_t p = 0; p < k; ++p)
          sum += a.data[i * a.row_step + p * a.column_step] * b.data[p * b.row_step + j * b.column_step];
        row[j] += sum;
      }
    }
  }
}

/// BLAS wants rows or columns without gaps between their elements, and rows that do not overlap.
template <class T>
bool fits_blas(const Matrix<const T>& x, std::int64_t rows, std::int64_t columns) {
  return (x.column_step == 1 && x.row_step >= std::max<std::int64_t>(1, columns)) ||
         (x.row_step == 1 && x.column_step >= std::max<std::int64_t>(1, rows));
}

template <class T>
Matrix<const T> packed(const Matrix<const T>& x, std::int64_t rows, std::int64_t columns, std::vector<T>& copy) {
  if (fits_blas(x, rows, columns)) return x;
  copy.resize(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      copy[static_cast<std::size_t>(i * columns + j)] = x.data[i * x.row_step + j * x.column_step];
  return {copy.data(), columns, 1};
}

template <class T>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const T> a, Matrix<const T> b, T beta, T* c,
              std::int64_t ldc) {
  if (m * n * k <= loops_up_to) return loops(m, n, k, a, b, beta, c, ldc);
  std::vector<T> copy_a, copy_b;
  a = packed(a, m, k, copy_a);
  b = packed(b, k, n, copy_b);
  const auto size = [](std::int64_t v) {
    require(v <= std::numeric_limits<int>::max(), "matmul: a size of {} is more than the BLAS takes", v);
    return static_cast<int>(v);
  };
  const bool ta = a.column_step != 1, tb = b.column_step != 1;
  blas(ta ? trans : no_trans, tb ? trans : no_trans, size(m), size(n), size(k), a.data,
       size(ta ? a.column_step : a.row_step), b.data, size(tb ? b.column_step : b.row_step), beta, c, size(ldc));
}

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const float> a, Matrix<const float> b, float beta,
          float* c, std::int64_t ldc) {
  multiply(m, n, k, a, b, beta, c, ldc);
}
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const double> a, Matrix<const double> b, double beta,
          double* c, std::int64_t ldc) {
  multiply(m, n, k, a, b, beta, c, ldc);
}

}  // namespace retrace::kernels

#include "gemm.hpp"

#include <limits>
#include <vector>

#include "../error.hpp"
#include "../memory.hpp"
#include "../vector_unit.hpp"
#include "micro_kernel.hpp"

// The two functions of the CBLAS interface that are used; declared here because where cblas.h lies
// differs by system.
extern "C" {
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                 const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
void cblas_dgemm(int order, int trans_a, int trans_b, int m, int n, int k, double alpha,
                 const double* a, int lda, const double* b, int ldb, double beta, double* c,
                 int ldc);
}

namespace retrace::kernels {
namespace {

template <class T>
Matrix<const T> moved(const Matrix<const T>& x, std::int64_t rows, std::int64_t columns) {
  return {x.data + rows * x.row_step + columns * x.column_step, x.row_step, x.column_step};
}

/// to[i * to_row_step + j * to_column_step] = x(i, j), walking x along its lines.
template <class T>
void copy(std::int64_t rows, std::int64_t columns, Matrix<const T> x, T* to,
          std::int64_t to_row_step, std::int64_t to_column_step) {
  if (x.column_step != 1) {
    std::swap(rows, columns);
    std::swap(x.row_step, x.column_step);
    std::swap(to_row_step, to_column_step);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* from = x.data + i * x.row_step;
    T* line = to + i * to_row_step;
    if (x.column_step == 1 && to_column_step == 1)
      std::copy_n(from, columns, line);
    else
      for (std::int64_t j = 0; j < columns; ++j) line[j * to_column_step] = from[j * x.column_step];
  }
}

// ---- the BLAS, and loops for products so small that calling it costs more
// -------------------------------------------

constexpr int row_major = 101, no_trans = 111, trans = 112;

void blas(int ta, int tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb,
          float beta, float* c, int ldc) {
  cblas_sgemm(row_major, ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}
void blas(int ta, int tb, int m, int n, int k, const double* a, int lda, const double* b, int ldb,
          double beta, double* c, int ldc) {
  cblas_dgemm(row_major, ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
RETRACE_INLINE inline void loops(std::int64_t m, std::int64_t n, const Factors<T>& f, T* c,
                                 std::int64_t ldc) {
  const auto& [a, b, k, packed] = f;
  for (std::int64_t i = 0; i < m; ++i) {
    T* row = c + i * ldc;
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
          sum += a.data[i * a.row_step + p * a.column_step] *
                 b.data[p * b.row_step + j * b.column_step];
        row[j] += sum;
      }
    }
  }
}

/// A matrix as the BLAS takes it: rows, or columns if `is_transposed`, without gaps between their
/// elements, `step` apart.
template <class T>
struct Lines {
  const T* data;
  bool is_transposed;
  std::int64_t step;
};

/// x as it lies if that will do, else a copy. Lines must not overlap: those of a single row or
/// column may seem to, since the step between them has no meaning, and such a matrix is taken the
/// other way.
template <class T>
Lines<T> lines(const Matrix<const T>& x, std::int64_t rows, std::int64_t columns,
               std::vector<T>& buffer) {
  if (x.column_step == 1 && x.row_step >= columns) return {x.data, false, x.row_step};
  if (x.row_step == 1 && x.column_step >= rows) return {x.data, true, x.column_step};
  buffer.resize(static_cast<std::size_t>(rows * columns));
  copy(rows, columns, x, buffer.data(), columns, 1);
  return {buffer.data(), false, columns};
}

template <class T>
void by_blas(std::int64_t m, std::int64_t n, const Factors<T>& f, T* c, std::int64_t ldc) {
  std::vector<T> buffer_a, buffer_b;
  const Lines<T> a = lines(f.a, m, f.k, buffer_a), b = lines(f.b, f.k, n, buffer_b);
  // What it refuses the BLAS prints, and returns.
  for (const std::int64_t size : {m, n, f.k, a.step, b.step, ldc})
    require(size > 0 && size <= std::numeric_limits<int>::max(),
            "matmul: the BLAS takes no size or step of {}", size);
  require(
      a.step >= (a.is_transposed ? m : f.k) && b.step >= (b.is_transposed ? f.k : n) && ldc >= n,
      "matmul: lines {}, {} and {} apart overlap in [{}, {}] x [{}, {}]", a.step, b.step, ldc, m,
      f.k, f.k, n);
  const auto as_int = [](std::int64_t size) { return static_cast<int>(size); };
  blas(a.is_transposed ? trans : no_trans, b.is_transposed ? trans : no_trans, as_int(m), as_int(n),
       as_int(f.k), a.data, as_int(a.step), b.data, as_int(b.step), T{1}, c, as_int(ldc));
}

// ---- the vector unit
// -----------------------------------------------------------------------------------------------

constexpr std::int64_t block_k = 256;  // so that a panel of b stays in the first cache

/// Room for a copy, from the pool.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t elements)
      : bytes_(static_cast<std::size_t>(elements) * sizeof(T)),
        data_(bytes_ > 0 ? detail::pool_allocate(bytes_) : nullptr) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_) detail::pool_free(data_, bytes_);
  }
  T* data() const { return static_cast<T*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

/// Calls f(factors, first, count, place) for the parts of the list that k0 .. k0 + k of the long
/// product are made of.
template <class T, class F>
RETRACE_INLINE inline void for_parts(std::span<const Factors<T>> list, std::int64_t k0,
                                     std::int64_t k, F&& f) {
  std::int64_t place = -k0;
  for (const Factors<T>& factors : list) {
    const std::int64_t first = std::max<std::int64_t>(0, -place),
                       last = std::min(factors.k, k - place);
    if (first < last) f(factors, first, last - first, place + first);
    place += factors.k;
    if (place >= k) return;
  }
}

/// Rows k0 .. k0 + k of b in panels, the last one filled up with zeros.
template <class T, std::int64_t Width>
RETRACE_INLINE inline void pack_panels(std::span<const Factors<T>> list, std::int64_t k0,
                                       std::int64_t k, std::int64_t n, T* to) {
  for (std::int64_t j = 0; j < n; j += Width, to += k * Width) {
    const std::int64_t columns = std::min(Width, n - j);
    if (columns < Width) std::fill_n(to, k * Width, T{0});
    for_parts(list, k0, k,
              [&](const Factors<T>& f, std::int64_t first, std::int64_t count, std::int64_t place) {
                const Matrix<const T> b = moved(f.b, first, j);
                if (columns == Width && b.column_step == 1)
                  for (std::int64_t p = 0; p < count; ++p)
                    std::copy_n(b.data + p * b.row_step, Width, to + (place + p) * Width);
                else
                  copy(count, columns, b, to + place * Width, Width, 1);
              });
  }
}

constexpr std::int64_t rounded_up(std::int64_t n, std::int64_t step) {
  return (n + step - 1) / step * step;
}

constexpr std::int64_t few_multiplications = 128;  // too few to prepare anything for them

/// One block on the vector unit; on its own, so that a small product does not pay for what
/// surrounds a large one.
template <class T, int Bytes>
void block(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const T> a, Panels<T> b,
           Addend<T> addend, T* c, std::int64_t ldc) {
  on_vector_unit<VectorUnit::avx512>(
      [=](auto bytes) RETRACE_INLINE {
        if constexpr (bytes == Bytes) MicroKernel<T, Bytes>::block(m, n, k, a, b, addend, c, ldc);
      },
      Bytes == 64 ? VectorUnit::avx512 : VectorUnit::avx2);
}

/// By blocks with vectors of Bytes, or false when that is not worth it.
template <class T, int Bytes>
bool blocked(std::int64_t m, std::int64_t n, std::span<const Factors<T>> list, Addend<T> addend,
             T* c, std::int64_t ldc) {
  using Kernel = MicroKernel<T, Bytes>;
  constexpr std::int64_t width = Kernel::width;
  const Factors<T>& f = list[0];
  const bool one = list.size() == 1;
  // Few multiplications take the same way, and give the same bits, whether or not another thread
  // has packed b.
  const T* packed_b = m * n * f.k > few_multiplications ? f.packed_b : nullptr;
  // A matrix that is read once, or stays in the first cache, is read as it lies.
  const bool as_it_lies =
      one && !packed_b && f.b.column_step == 1 && n % Kernel::lanes == 0 &&
      (m <= 2 * Kernel::most_rows || f.k * n * static_cast<std::int64_t>(sizeof(T)) <= 16384);
  const bool copy_b = !as_it_lies && !packed_b;
  // Lines that are far apart fight for the same places in the cache.
  const std::int64_t a_step =
      std::max(f.a.row_step, f.a.column_step) * static_cast<std::int64_t>(sizeof(T));
  const bool copy_a = !one || (n > 2 * width && a_step >= 1024);
  const auto panels = [&](std::int64_t k0, std::int64_t k) -> Panels<T> {
    if (as_it_lies) return {f.b.data + k0 * f.b.row_step, f.b.row_step, width};
    return {copy_b ? nullptr : packed_b + k0 * rounded_up(n, width), width, width * k};
  };
  if (!copy_b && !copy_a && f.k <= block_k &&
      m <= Kernel::most_block_rows) {  // most products of a small model
    block<T, Bytes>(m, n, f.k, f.a, panels(0, f.k), addend, c, ldc);
    return true;
  }
  if (m * n * f.k <= few_multiplications) return false;

  std::int64_t k_of_list = 0;
  for (const Factors<T>& each : list) k_of_list += each.k;
  const std::int64_t most_k = std::min(k_of_list, block_k);
  const bool a_in_columns = f.a.column_step != 1;
  const Scratch<T> b_copy(copy_b ? most_k * rounded_up(n, width) : 0);
  const Scratch<T> a_copy(copy_a ? std::min(m, Kernel::most_block_rows) * most_k : 0);

  for (std::int64_t k0 = 0; k0 < k_of_list; k0 += block_k) {
    const std::int64_t k = std::min(block_k, k_of_list - k0);
    Panels<T> b = panels(k0, k);
    if (copy_b) {
      on_vector_unit([&](auto)
                         RETRACE_INLINE { pack_panels<T, width>(list, k0, k, n, b_copy.data()); });
      b.data = b_copy.data();
    }
    for (std::int64_t i = 0; i < m; i += Kernel::most_block_rows) {
      const std::int64_t rows = std::min(Kernel::most_block_rows, m - i);
      Matrix<const T> a = moved(f.a, i, k0);
      if (copy_a) {
        T* to = a_copy.data();
        const std::int64_t row_step = a_in_columns ? 1 : k, column_step = a_in_columns ? rows : 1;
        for_parts(list, k0, k,
                  [&](const Factors<T>& part, std::int64_t first, std::int64_t count,
                      std::int64_t place) {
                    copy(rows, count, moved(part.a, i, first), to + place * column_step, row_step,
                         column_step);
                  });
        a = {to, row_step, column_step};
      }
      block<T, Bytes>(rows, n, k, a, b, moved(k0 > 0 ? Addend<T>{c, ldc} : addend, i, 0),
                      c + i * ldc, ldc);
    }
  }
  return true;
}

/// Where a BLAS made for AVX2 is ahead of the kernel here. None was met that uses AVX-512 as well
/// as it does.
bool is_for_blas(VectorUnit unit, std::int64_t m, std::int64_t n, std::int64_t k) {
  return unit == VectorUnit::avx2 && k >= 512 && m * n >= 65536;
}

/// Length of the vectors for products of n columns: half of the longer ones would do nothing for
/// few.
template <class T>
int vector_bytes(std::int64_t n) {
  return vector_unit() == VectorUnit::avx512 && n * static_cast<std::int64_t>(sizeof(T)) > 32 ? 64
                                                                                              : 32;
}

template <class T>
void multiply(std::int64_t m, std::int64_t n, std::span<const Factors<T>> list, Addend<T> addend,
              T* c, std::int64_t ldc) {
  const VectorUnit unit = vector_unit();
  if (unit != VectorUnit::baseline && !is_for_blas(unit, m, n, list[0].k) &&
      (vector_bytes<T>(n) == 64 ? blocked<T, 64>(m, n, list, addend, c, ldc)
                                : blocked<T, 32>(m, n, list, addend, c, ldc)))
    return;
  for (std::int64_t i = 0; addend.data != c && i < m; ++i)
    if (addend.data)
      std::copy_n(addend.data + i * addend.row_step, n, c + i * ldc);
    else
      std::fill_n(c + i * ldc, n, T{0});
  const std::int64_t loops_up_to = unit == VectorUnit::baseline ? 4096 : few_multiplications;
  for (const Factors<T>& f : list) {
    if (m * n * f.k <= loops_up_to)
      loops(m, n, f, c, ldc);
    else
      by_blas(m, n, f, c, ldc);
  }
}

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::span<const Factors<float>> list,
          Addend<float> addend, float* c, std::int64_t ldc) {
  multiply(m, n, list, addend, c, ldc);
}
void gemm(std::int64_t m, std::int64_t n, std::span<const Factors<double>> list,
          Addend<double> addend, double* c, std::int64_t ldc) {
  multiply(m, n, list, addend, c, ldc);
}

template <class T>
std::int64_t packed_size(std::int64_t k, std::int64_t n) {
  if (vector_unit() == VectorUnit::baseline) return 0;
  return k * rounded_up(n, 2 * vector_bytes<T>(n) / static_cast<std::int64_t>(sizeof(T)));
}
template <class T>
void pack(std::int64_t k, std::int64_t n, Matrix<const T> b, T* to) {
  const Factors<T> f{{}, b, k};
  for (std::int64_t k0 = 0; k0 < k; k0 += block_k) {
    const std::int64_t count = std::min(block_k, k - k0);
    if (vector_bytes<T>(n) == 64) {
      pack_panels<T, 128 / sizeof(T)>(std::span(&f, 1), k0, count, n, to);
      to += count * rounded_up(n, 128 / sizeof(T));
    } else {
      pack_panels<T, 64 / sizeof(T)>(std::span(&f, 1), k0, count, n, to);
      to += count * rounded_up(n, 64 / sizeof(T));
    }
  }
}
template std::int64_t packed_size<float>(std::int64_t, std::int64_t);
template std::int64_t packed_size<double>(std::int64_t, std::int64_t);
template void pack(std::int64_t, std::int64_t, Matrix<const float>, float*);
template void pack(std::int64_t, std::int64_t, Matrix<const double>, double*);

}  // namespace retrace::kernels

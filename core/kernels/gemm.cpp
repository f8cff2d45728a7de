#include "gemm.hpp"

#include <limits>
#include <type_traits>
#include <vector>

#include "../error.hpp"
#include "../storage.hpp"
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

/// Copies x to `to`, along the lines in which x lies.
template <class T>
void copy(std::int64_t rows, std::int64_t columns, Matrix<const T> x, Matrix<T> to) {
  if (x.column_step != 1) {
    std::swap(rows, columns);
    std::swap(x.row_step, x.column_step);
    std::swap(to.row_step, to.column_step);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* from = x.data + i * x.row_step;
    T* line = to.data + i * to.row_step;
    if (x.column_step == 1 && to.column_step == 1)
      std::copy_n(from, columns, line);
    else
      for (std::int64_t j = 0; j < columns; ++j) line[j * to.column_step] = from[j * x.column_step];
  }
}

// ---- c += a b by the BLAS, and by loops where calling it costs more -----------------------------

template <class T>
[[gnu::always_inline]] inline void by_loops(std::int64_t m, std::int64_t n, const Factors<T>& f,
                                            Result<T> c) {
  const auto& [a, b, k, packed] = f;
  for (std::int64_t i = 0; i < m; ++i) {
    T* row = c.data + i * c.step;
    if (b.column_step == 1) {
      for (std::int64_t p = 0; p < k; ++p) {
        const T x = a(i, p), *from = &b(p, 0);
        for (std::int64_t j = 0; j < n; ++j) row[j] += x * from[j];
      }
    } else {
      for (std::int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (std::int64_t p = 0; p < k; ++p) sum += a(i, p) * b(p, j);
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

/// x as it lies if the BLAS takes that, else a copy. Lines must not overlap. Those of a single row
/// or column may seem to, since the step between them has no meaning; it is taken the other way.
template <class T>
Lines<T> lines(const Matrix<const T>& x, std::int64_t rows, std::int64_t columns,
               std::vector<T>& buffer) {
  if (x.column_step == 1 && x.row_step >= columns) return {x.data, false, x.row_step};
  if (x.row_step == 1 && x.column_step >= rows) return {x.data, true, x.column_step};
  buffer.resize(static_cast<std::size_t>(rows * columns));
  copy(rows, columns, x, {buffer.data(), columns, 1});
  return {buffer.data(), false, columns};
}

template <class T>
void by_blas(std::int64_t m, std::int64_t n, const Factors<T>& f, Result<T> c) {
  std::vector<T> buffer_a, buffer_b;
  const Lines<T> a = lines(f.a, m, f.k, buffer_a), b = lines(f.b, f.k, n, buffer_b);
  // The BLAS does not throw: for arguments that it refuses it prints a message, and returns.
  for (const std::int64_t size : {m, n, f.k, a.step, b.step, c.step})
    require(size > 0 && size <= std::numeric_limits<int>::max(),
            "matmul: the BLAS takes no size or step of {}", size);
  require(c.step >= n, "matmul: lines {}, {} and {} apart overlap in [{}, {}] x [{}, {}]", a.step,
          b.step, c.step, m, f.k, f.k, n);
  const auto call = [&](auto* function) {
    constexpr int row_major = 101, no_trans = 111, trans = 112;
    const auto as_int = [](std::int64_t size) { return static_cast<int>(size); };
    function(row_major, a.is_transposed ? trans : no_trans, b.is_transposed ? trans : no_trans,
             as_int(m), as_int(n), as_int(f.k), 1, a.data, as_int(a.step), b.data, as_int(b.step),
             1, c.data, as_int(c.step));
  };
  if constexpr (std::is_same_v<T, float>)
    call(cblas_sgemm);
  else
    call(cblas_dgemm);
}

// ---- c = its addend + a b on the vector unit ----------------------------------------------------

/// A buffer for a copy.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t elements)
      : storage_(detail::Storage::make(static_cast<std::size_t>(elements) * sizeof(T))) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { storage_->free(); }
  T* data() const { return reinterpret_cast<T*>(storage_->data()); }

 private:
  detail::Storage* storage_;
};

/// The list is one long product. For each product within its [k0, k0 + k), calls f(factors, first,
/// count, place): from `first` on, `count` of the product's own k begin at k0 + place.
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

constexpr std::int64_t rounded_up(std::int64_t n, std::int64_t step) {
  return (n + step - 1) / step * step;
}

/// The unit whose vectors are used for products of n columns: for few columns, half of a longer
/// vector would do nothing.
VectorUnit unit_for(std::int64_t n, std::size_t element_bytes) {
  const bool few = n * static_cast<std::int64_t>(element_bytes) <= 32;
  return few ? std::min(vector_unit(), VectorUnit::avx2) : vector_unit();
}

std::int64_t panel_width(VectorUnit unit, std::size_t element_bytes) {
  return std::int64_t{2} * vector_bytes(unit) / static_cast<std::int64_t>(element_bytes);
}

/// Rows k0 .. k0 + k of b in panels for the unit, the last panel filled up with zeros.
template <class T>
void pack_panels(VectorUnit unit, std::span<const Factors<T>> list, std::int64_t k0, std::int64_t k,
                 std::int64_t n, T* to) {
  const auto pack = [=](auto bytes) RETRACE_INLINE {
    constexpr std::int64_t width = 2 * bytes / sizeof(T);
    T* panel = to;
    for (std::int64_t j = 0; j < n; j += width, panel += k * width) {
      const std::int64_t columns = std::min(width, n - j);
      if (columns < width) std::fill_n(panel, k * width, T{0});
      for_parts(list, k0, k, [=](const auto& f, auto first, auto count, auto place) {
        const Matrix<const T> b = f.b.from(first, j);
        T* at = panel + place * width;
        if (columns == width && b.column_step == 1)
          for (std::int64_t p = 0; p < count; ++p)
            std::copy_n(b.data + p * b.row_step, width, at + p * width);
        else
          copy(count, columns, b, {at, width, 1});
      });
    }
  };
  on_vector_unit<VectorUnit::avx512>(pack, unit);
}

/// One block on the vector unit; on its own, so that a small product does not pay for what
/// surrounds a large one.
template <class T>
void block(VectorUnit unit, std::int64_t m, std::int64_t n, std::int64_t k, Matrix<const T> a,
           const Panels<T>& b, const Result<T>& c) {
  const auto multiply = [&](auto bytes) RETRACE_INLINE {
    if constexpr (bytes > 16) MicroKernel<T, bytes>::block(m, n, k, a, b, c);
  };
  on_vector_unit<VectorUnit::avx512>(multiply, unit);
}

constexpr std::int64_t block_k = 256;  // so that a panel of b stays in the first cache

constexpr std::int64_t few_multiplications = 128;  // too few to prepare anything for them

/// Block by block. Copies bring factors closer together, and those of a list side by side.
template <class T>
void by_blocks(const Plan<T>& plan, std::int64_t m, std::int64_t n,
               std::span<const Factors<T>> list, Result<T> c) {
  std::int64_t k_of_list = 0;
  for (const Factors<T>& f : list) k_of_list += f.k;
  const std::int64_t most_k = std::min(k_of_list, block_k),
                     width = panel_width(plan.unit, sizeof(T));
  const bool in_columns = list[0].a.column_step != 1;
  const Scratch<T> b_copy(plan.b.data ? 0 : most_k * rounded_up(n, width));
  const Scratch<T> a_copy(plan.copies_a ? std::min(m, most_block_rows) * most_k : 0);

  for (std::int64_t k0 = 0; k0 < k_of_list; k0 += block_k) {
    const std::int64_t k = std::min(block_k, k_of_list - k0);
    Panels<T> b = plan.b;
    if (b.data) {
      b.data += k0 * b.row_step;
    } else {
      pack_panels(plan.unit, list, k0, k, n, b_copy.data());
      b = {b_copy.data(), width, k * width};
    }
    for (std::int64_t i = 0; i < m; i += most_block_rows) {
      const std::int64_t rows = std::min(most_block_rows, m - i);
      Matrix<const T> a = list[0].a.from(i, k0);
      if (plan.copies_a) {
        const Matrix<T> to{a_copy.data(), in_columns ? 1 : k, in_columns ? rows : 1};
        for_parts(list, k0, k, [&](const auto& f, auto first, auto count, auto place) {
          copy(rows, count, f.a.from(i, first), to.from(0, place));
        });
        a = {to.data, to.row_step, to.column_step};
      }
      block(plan.unit, rows, n, k, a, b, c.from(i, 0));
    }
    c = {c.data, c.step, c.data, c.step};
  }
}

template <class T>
[[gnu::always_inline]] inline Plan<T> decided(std::int64_t m, std::int64_t n,
                                              std::span<const Factors<T>> list) {
  using By = typename Plan<T>::By;
  const auto& [a, b, k, packed_b] = list[0];
  const std::int64_t work = m * n * k, element_bytes = sizeof(T);

  Plan<T> p{unit_for(n, sizeof(T))};
  if (p.unit == VectorUnit::baseline) return p;
  // A BLAS made for AVX2 is up to a tenth faster than the kernel here. No BLAS tried uses AVX-512
  // as well as it does.
  if (vector_unit() == VectorUnit::avx2 && k >= 512 && m * n >= 65536) return p;

  const std::int64_t width = panel_width(p.unit, sizeof(T));
  // Few multiplications take the same way, and give the same bits, whether or not another thread
  // has packed b.
  p.reads_packed = packed_b && work > few_multiplications;
  if (p.reads_packed) p.b = {packed_b, width, k * width};
  // A matrix that is read once, or stays in the first cache, is read as it lies.
  else if (list.size() == 1 && b.column_step == 1 && (n & (width / 2 - 1)) == 0 &&
           (m <= 2 * most_rows(vector_bytes(p.unit)) || k * n * element_bytes <= 16384))
    p.b = {b.data, b.row_step, width};
  // Lines that are far apart compete for the same cache sets.
  const bool far_apart = std::max(a.row_step, a.column_step) * element_bytes >= 1024;
  p.copies_a = list.size() > 1 || (n > 2 * width && far_apart);
  if (p.b.data && !p.copies_a && k <= block_k && m <= most_block_rows)
    p.by = By::one_block;  // most products of a small model
  else if (work > few_multiplications)
    p.by = By::blocks;
  return p;
}

template <class T>
[[gnu::always_inline]] inline void run(const Plan<T>& p, std::int64_t m, std::int64_t n,
                                       std::span<const Factors<T>> list, const Result<T>& c) {
  if (p.by == Plan<T>::By::one_block) return block(p.unit, m, n, list[0].k, list[0].a, p.b, c);
  if (p.by == Plan<T>::By::blocks) return by_blocks(p, m, n, list, c);
  for (std::int64_t i = 0; c.addend != c.data && i < m; ++i)
    if (c.addend)
      std::copy_n(c.addend + i * c.addend_step, n, c.data + i * c.step);
    else
      std::fill_n(c.data + i * c.step, n, T{0});
  const std::int64_t most_for_loops = p.unit == VectorUnit::baseline ? 4096 : few_multiplications;
  for (const Factors<T>& f : list)
    if (m * n * f.k <= most_for_loops)
      by_loops(m, n, f, c);
    else
      by_blas(m, n, f, c);
}

}  // namespace

template <class T>
Plan<T> plan(std::int64_t m, std::int64_t n, std::span<const Factors<T>> list) {
  return decided(m, n, list);
}

template <class T>
void gemm(const Plan<T>& p, std::int64_t m, std::int64_t n, std::span<const Factors<T>> list,
          const Result<T>& c) {
  run(p, m, n, list, c);
}

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::span<const Factors<T>> list, const Result<T>& c) {
  run(decided(m, n, list), m, n, list, c);
}

template <class T>
void pack(std::int64_t k, std::int64_t n, Matrix<const T> b, T* to) {
  const Factors<T> f{{}, b, k};
  pack_panels(unit_for(n, sizeof(T)), std::span(&f, 1), 0, k, n, to);
}

std::int64_t packed_size(std::int64_t k, std::int64_t n, std::size_t element_bytes) {
  const VectorUnit unit = unit_for(n, element_bytes);
  return unit == VectorUnit::baseline ? 0 : k * rounded_up(n, panel_width(unit, element_bytes));
}

template void gemm(std::int64_t, std::int64_t, std::span<const Factors<float>>,
                   const Result<float>&);
template void gemm(std::int64_t, std::int64_t, std::span<const Factors<double>>,
                   const Result<double>&);
template Plan<float> plan(std::int64_t, std::int64_t, std::span<const Factors<float>>);
template Plan<double> plan(std::int64_t, std::int64_t, std::span<const Factors<double>>);
template void gemm(const Plan<float>&, std::int64_t, std::int64_t, std::span<const Factors<float>>,
                   const Result<float>&);
template void gemm(const Plan<double>&, std::int64_t, std::int64_t,
                   std::span<const Factors<double>>, const Result<double>&);
template void pack(std::int64_t, std::int64_t, Matrix<const float>, float*);
template void pack(std::int64_t, std::int64_t, Matrix<const double>, double*);

}  // namespace retrace::kernels

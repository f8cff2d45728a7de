// The kernels for the longest vectors on CPUs that have shorter ones: AVX-512 compiled for AVX2,
// where the compiler takes each of its vectors as a pair. The sources are here once more, under
// another name, and say that their unit is AVX-512.
#define retrace retrace_in_pairs
#define RETRACE_AVX512 RETRACE_AVX2
// NOLINTBEGIN(bugprone-suspicious-include)
#include "../../../core/error.cpp"
#include "../../../core/kernels/gemm.cpp"
#include "../../../core/kernels/vector_math.cpp"
#include "../../../core/memory.cpp"
#include "../../../core/storage.cpp"
#include "../../../core/vector_unit.cpp"
// NOLINTEND(bugprone-suspicious-include)
#undef retrace

#include <doctest/doctest.h>

using namespace retrace_in_pairs;

namespace {

const bool has_avx2 = vector_unit() != VectorUnit::baseline;

/// Small whole numbers, whose sums are exact in any order, and their layout.
template <class T>
struct Numbers {
  std::int64_t rows, columns;
  bool in_columns;
  std::vector<T> elements = std::vector<T>(static_cast<std::size_t>(rows * columns));

  Numbers(std::int64_t m, std::int64_t n, bool turned) : rows(m), columns(n), in_columns(turned) {
    for (std::size_t i = 0; i < elements.size(); ++i)
      elements[i] = static_cast<T>(static_cast<int>(i * 7 % 11) - 5);
  }
  kernels::Matrix<const T> matrix() const {
    return {elements.data(), in_columns ? 1 : columns, in_columns ? rows : 1};
  }
};

/// How a product is asked for: bits that the cases take turns in.
enum { a_turned = 1, b_turned = 2, packed = 4, parted = 8, onto_a_row = 16, onto_itself = 32 };

template <class T>
void check_product(std::int64_t m, std::int64_t k, std::int64_t n, int how) {
  CAPTURE(m);
  CAPTURE(k);
  CAPTURE(n);
  CAPTURE(how);
  const Numbers<T> a(m, k, how & a_turned), b(k, n, how & b_turned), row(1, n, false);
  std::vector<T> c(static_cast<std::size_t>(m * n), T{3}), expected = c;
  for (std::int64_t i = 0, at = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j, ++at) {
      T sum = how & onto_a_row ? row.matrix()(0, j) : T(how & onto_itself ? 3 : 0);
      for (std::int64_t p = 0; p < k; ++p) sum += a.matrix()(i, p) * b.matrix()(p, j);
      expected[static_cast<std::size_t>(at)] = sum;
    }

  std::vector<kernels::Factors<T>> list{{a.matrix(), b.matrix(), k}};
  std::vector<T> copy(static_cast<std::size_t>(kernels::packed_size(k, n, sizeof(T))));
  if (how & packed) {
    kernels::pack(k, n, b.matrix(), copy.data());
    list[0].packed_b = copy.data();
  } else if (how & parted) {
    list[0].k = k / 3;
    list.push_back({a.matrix().from(0, k / 3), b.matrix().from(k / 3, 0), k - k / 3});
  }
  const T* addend = how & onto_a_row ? row.elements.data() : how & onto_itself ? c.data() : nullptr;
  kernels::gemm<T>(m, n, list, {c.data(), n, addend, how & onto_a_row ? 0 : n});
  CHECK(c == expected);
}

template <class T>
void check_products() {
  int how = 0;
  for (const std::int64_t m : {0, 1, 2, 3, 4, 14, 15, 29, 170})
    for (const std::int64_t k : {1, 5, 40, 260})
      for (const std::int64_t n : {3, 8, 9, 16, 17, 31, 32, 48, 130})
        check_product<T>(m, k, n, how++ % 64);
}

}  // namespace

TEST_CASE("products in the longest vectors are exact on a CPU that has shorter ones") {
  if (!has_avx2) return;
  detail::vector_unit_in_use = VectorUnit::avx512;
  check_products<float>();
  check_products<double>();
}

TEST_CASE("tanh in the longest vectors has the same bits as in shorter ones") {
  if (!has_avx2) return;
  std::vector<float> x;
  for (float v = -12; v < 12; v += 0.07F) x.push_back(v);
  for (std::size_t n = 0; n < x.size(); ++n) {
    std::vector<float> y(n), expected(n);
    detail::vector_unit_in_use = VectorUnit::avx2;
    vector_math::tanh(x.data(), expected.data(), static_cast<std::int64_t>(n));
    detail::vector_unit_in_use = VectorUnit::avx512;
    vector_math::tanh(x.data(), y.data(), static_cast<std::int64_t>(n));
    CHECK(y == expected);
  }
}

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "../../../core/kernels/gemm.hpp"
#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// The product by three loops in f64, and the sum of the sizes of what is added, which bounds the
/// rounding.
template <class T>
void check_product(const Tensor& a, const Tensor& b) {
  const std::int64_t m = a.dim(0), k = a.dim(1), n = b.dim(1);
  const Tensor y = matmul(a, b);
  CHECK(y.shape() == Shape{m, n});
  CHECK(y.dtype() == dtype_of<T>);
  const std::vector<T> x = a.to_vector<T>(), w = b.to_vector<T>(), given = y.to_vector<T>();
  std::size_t wrong = 0;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double value = 0, size = 0;
      for (std::int64_t p = 0; p < k; ++p) {
        const double term = static_cast<double>(x[static_cast<std::size_t>(i * k + p)]) *
                            static_cast<double>(w[static_cast<std::size_t>(p * n + j)]);
        value += term;
        size += std::abs(term);
      }
      const double error =
          std::abs(static_cast<double>(given[static_cast<std::size_t>(i * n + j)]) - value);
      wrong += !(error <= 4 * static_cast<double>(std::numeric_limits<T>::epsilon()) * size);
    }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("a product by hand") {
  const Tensor a = tensor({{1, 2, 3}, {4, 5, 6}}), b = tensor({{1, 0}, {0.0, 1}, {2, -1}});
  CHECK(same(matmul(a, b), {{7, -1}, {16, -1}}));
  CHECK(same(matmul(transpose(b), transpose(a)), {{7, 16}, {-1, -1}}));
  CHECK(same(matmul(tensor({{3}}), tensor({{-2}})), tensor({{-6}})));
}

namespace {
template <class T>
void check_random_products() {
  CAPTURE(dtype_of<T>);
  // Sizes from 0 through the bounds between the small loops, the kernels above them and the BLAS.
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const auto size = [&] {
      return draw.one_of({0, 1, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 40, 65});
    };
    const std::int64_t m = size(), k = size(), n = size();
    const Tensor a = draw.matrix(m, k, dtype_of<T>), b = draw.matrix(k, n, dtype_of<T>);
    CAPTURE(a.shape());
    CAPTURE(a.strides()[0]);
    CAPTURE(a.strides()[1]);
    CAPTURE(b.shape());
    CAPTURE(b.strides()[0]);
    CAPTURE(b.strides()[1]);
    check_product<T>(a, b);
  }
}
}  // namespace

TEST_CASE("products of matrices of any size and strides are those of three loops") {
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(static_cast<int>(unit));
    const LimitedTo scope(unit);
    check_random_products<float>();
    check_random_products<double>();
  }
}

namespace {
template <class T>
void check_large_products() {
  CAPTURE(dtype_of<T>);
  Draw draw(1);
  const std::int64_t sizes[][3] = {{1, 300, 300},   {300, 300, 1},  {300, 1, 300},  {1, 5000, 1},
                                   {1, 257, 513},   {5, 1024, 3},   {70, 600, 130}, {513, 9, 17},
                                   {128, 128, 128}, {260, 520, 260}};
  for (const auto& size : sizes)
    for (int form = 0; form < 4; ++form) {
      const std::int64_t m = size[0], k = size[1], n = size[2];
      CAPTURE(m);
      CAPTURE(k);
      CAPTURE(n);
      const auto of = [&](std::int64_t rows, std::int64_t columns, bool turned) {
        const Tensor x =
            draw.values(turned ? Shape{columns, rows} : Shape{rows, columns}).to(dtype_of<T>);
        return turned ? transpose(x) : x;
      };
      check_product<T>(of(m, k, form & 1), of(k, n, form & 2));
    }
}
}  // namespace

TEST_CASE("large and lopsided products are those of three loops") {
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(static_cast<int>(unit));
    const LimitedTo scope(unit);
    check_large_products<float>();
    check_large_products<double>();
  }
}

TEST_CASE("products over an inner size of 0 are zeros") {
  for (const DType dtype : {f32, f64}) {
    CHECK(same(matmul(zeros({2, 0}, dtype), zeros({0, 3}, dtype)), zeros({2, 3}, dtype)));
    CHECK(same(matmul(zeros({80, 0}, dtype), zeros({0, 90}, dtype)), zeros({80, 90}, dtype)));
    CHECK(same(matmul(zeros({4, 2, 0}, dtype), zeros({4, 0, 3}, dtype)), zeros({4, 2, 3}, dtype)));
    CHECK(matmul(zeros({0, 5}, dtype), zeros({5, 3}, dtype)).shape() == Shape{0, 3});
    CHECK(matmul(zeros({3, 5}, dtype), zeros({5, 0}, dtype)).shape() == Shape{3, 0});
    CHECK(matmul(zeros({0, 2, 5}, dtype), zeros({5, 3}, dtype)).shape() == Shape{0, 2, 3});
    CHECK(matmul(zeros({0, 2, 5}, dtype), zeros({1, 5, 3}, dtype)).shape() == Shape{0, 2, 3});
  }
}

namespace {
/// A list of products against the sum of its parts, from all layouts of the factors, with and
/// without packed copies.
template <class T>
void check_list(std::uint64_t seed) {
  Draw draw(seed);
  const std::int64_t m = draw.integer(0, 40), n = draw.integer(0, 70), parts = draw.integer(1, 6);
  const bool one = parts == 1;
  enum { nothing, in_place, matrix_apart, row };
  const auto addend = static_cast<int>(draw.integer(nothing, row));
  const Tensor apart = draw.values(addend == row ? Shape{n} : Shape{m, n + 2}).to(dtype_of<T>);
  Tensor expected = addend == in_place       ? full({m, n}, 3, f64)
                    : addend == matrix_apart ? slice(apart, 1, 0, n).to(f64)
                    : addend == row          ? broadcast_to(apart, {m, n}).to(f64)
                                             : zeros({m, n}, f64);
  std::vector<Tensor> kept;
  std::vector<std::vector<T>> copies;
  std::vector<kernels::Factors<T>> list;
  for (std::int64_t i = 0; i < parts; ++i) {
    const std::int64_t k = draw.one_of({0, 1, 2, 7, 33, 300});
    const Tensor a = draw.matrix(m, k, dtype_of<T>), b = draw.matrix(k, n, dtype_of<T>);
    expected = expected + matmul(a.to(f64), b.to(f64));
    const auto as_matrix = [](const Tensor& x) {
      return kernels::Matrix<const T>{x.data<T>(), x.strides()[0], x.strides()[1]};
    };
    list.push_back({as_matrix(a), as_matrix(b), k});
    if (one && draw.chance(0.5)) {
      copies.emplace_back(static_cast<std::size_t>(kernels::packed_size(k, n, sizeof(T))));
      if (!copies[0].empty()) {
        kernels::pack(k, n, list[0].b, copies[0].data());
        list[0].packed_b = copies[0].data();
      }
    }
    kept.insert(kept.end(), {a, b});
  }
  // Two elements more in every row, which stay as they are; c is not read unless it is added to.
  Tensor c = full({m, n + 2}, addend == in_place ? 3 : NaN, dtype_of<T>);
  const Tensor around = slice(c, 1, n, n + 2).clone();
  const T* added = addend == nothing ? nullptr : addend == in_place ? c.data<T>() : apart.data<T>();
  kernels::gemm<T>(m, n, list, {c.data<T>(), n + 2, added, addend == row ? 0 : n + 2});
  CHECK(same(slice(c, 1, n, n + 2), around));
  const double tolerance = 2000 * static_cast<double>(std::numeric_limits<T>::epsilon());
  CHECK(close(slice(c, 1, 0, n).to(f64), expected, tolerance, tolerance));
}
}  // namespace

TEST_CASE("the kernel sums a list of products onto a matrix or a row or what is there or nothing") {
  for (const VectorUnit unit : vector_units()) {
    const LimitedTo scope(unit);
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      INFO("unit ", static_cast<int>(unit), ", seed ", seed);
      check_list<float>(seed);
      check_list<double>(seed);
    }
  }
}

TEST_CASE("a matrix that was used before is used with its new values") {
  const Generator generator(1);
  const Tensor x = randn({5, 40}, generator), other = randn({40, 50}, generator);
  Tensor w = randn({40, 50}, generator);
  const auto check = [&] {
    for (int i = 0; i < 3; ++i) {
      CHECK(same(matmul(x, w), matmul(x, w.clone())));
      CHECK(same(matmul(matmul(x, w), transpose(w)), matmul(matmul(x, w), transpose(w.clone()))));
      CHECK(same(matmul(x, slice(w, 1, 3, 33)), matmul(x, slice(w.clone(), 1, 3, 33))));
    }
  };
  check();
  w.assign(other);
  check();
  w.mutable_span<float>()[77] = 5;
  check();
  Tensor row = select(w, 0, 3);
  row.fill(-1);
  check();
}

namespace {
/// Every width of b from less than one vector to more than a panel of the longest ones, in one
/// block of rows and several.
template <class T>
void check_repeated_products() {
  CAPTURE(dtype_of<T>);
  for (const std::int64_t m : {1, 2, 7, 15, 200})
    for (const std::int64_t k : {3, 64, 300})
      for (const std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130}) {
        CAPTURE(m);
        CAPTURE(k);
        CAPTURE(n);
        Draw draw(1);
        const Tensor a = draw.values({m, k}).to(dtype_of<T>),
                     b = draw.values({k, n}).to(dtype_of<T>);
        const Tensor turned = transpose(draw.values({n, k}).to(dtype_of<T>));
        for (int i = 0; i < 3; ++i) {
          check_product<T>(a, b);
          check_product<T>(a, turned);
        }
      }
}
}  // namespace

TEST_CASE("a product is right however often its matrix was used") {
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(static_cast<int>(unit));
    const LimitedTo scope(unit);
    check_repeated_products<float>();
    check_repeated_products<double>();
  }
}

TEST_CASE("a matrix that was used before lends its elements only without their packed copy") {
  const Tensor x = randn({5, 40}, Generator(1));
  Tensor w = randn({40, 50}, Generator(2));
  for (int i = 0; i < 3; ++i) static_cast<void>(matmul(x, w));
  const Tensor expected = matmul(x, (w * 2).clone());
  w = std::move(w) * 2;
  for (int i = 0; i < 3; ++i) CHECK(same(matmul(x, w), expected));
}

TEST_CASE("parts of one matrix that begin together are told apart however often they were used") {
  const Tensor x = randn({20, 64}, Generator(1)), w = randn({64, 64}, Generator(2));
  for (int i = 0; i < 3; ++i)
    for (const std::int64_t rows : {64, 40})
      for (const std::int64_t columns : {64, 48}) {
        CAPTURE(rows);
        CAPTURE(columns);
        const Tensor part = slice(slice(w, 0, 0, rows), 1, 0, columns), left = slice(x, 1, 0, rows);
        CHECK(close(matmul(left, part), matmul(left, part.clone()), 1e-5, 1e-5));
      }
}

TEST_CASE("threads use one matrix at the same time") {
  const Tensor x = randn({5, 40}, Generator(1)), w = randn({40, 50}, Generator(2)),
               expected = matmul(x, w);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) wrong += !same(matmul(x, w), expected).ok;
      for (int i = 0; i < 50; ++i) static_cast<void>(matmul(matmul(x, w), transpose(w)));
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("leading axes are a batch and broadcast") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const Shape batch = draw.shape(0, 4, 1);
    Shape a_shape = draw.broadcasting_to(batch), b_shape = draw.broadcasting_to(batch);
    const std::int64_t m = draw.integer(1, 3), k = draw.integer(0, 3), n = draw.integer(1, 3);
    const Shape shape = (zeros(a_shape) + zeros(b_shape)).shape();
    for (const std::int64_t s : {m, k}) a_shape.push_back(s);
    for (const std::int64_t s : {k, n}) b_shape.push_back(s);
    Tensor a = draw.values(a_shape), b = draw.values(b_shape);
    if (draw.chance(0.5)) a = transpose(transpose(a).clone());
    if (draw.chance(0.5)) b = transpose(transpose(b).clone());
    // The same by broadcasting [m, k, 1] against [1, k, n].
    if (shape.rank() + 3 > max_rank) continue;
    Shape a_wide = a_shape, b_wide = b_shape;
    a_wide.push_back(1);
    b_wide = b_wide.inserted(b_wide.rank() - 2, 1);
    CHECK(close(matmul(a, b), sum(reshape(a, a_wide) * reshape(b, b_wide), -2), 1e-13, 1e-13));
  }
}

TEST_CASE("matrix products take NaN and infinity along") {
  for (const std::int64_t n : {2, 64}) {
    Tensor a = zeros({n, n}, f64);
    a.mutable_span<double>()[0] = inf;
    const Tensor y = matmul(a, ones({n, n}, f64)), z = matmul(a, zeros({n, n}, f64));
    CHECK(y.at({0, n - 1}) == inf);
    CHECK(y.at({1, 0}) == 0);
    CHECK(std::isnan(z.at({0, 0})));
  }
}

TEST_CASE("the gradient of a product used many times adds up") {
  Draw draw(5);
  const Tensor w = draw.values({40, 40}).requires_grad(true), x = draw.values({30, 40});
  const Tensor g = grad(sum(matmul(x, w) + matmul(x * 2, w) + matmul(matmul(x, w), w)), {w})[0];
  const Tensor one = ones({30, 40}, f64);
  const Tensor expected = matmul(transpose(x * 3), one) +
                          matmul(transpose(x), matmul(one, transpose(w))) +
                          matmul(transpose(matmul(x, w)), one);
  CHECK(close(g, expected, 1e-12, 1e-10));
}
